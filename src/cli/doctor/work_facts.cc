#include "cli/doctor/work_facts.h"

#include "group/rest.h"
#include "pg/error.h"
#include "schema/queries/doctor_work.h"

namespace weir::cli {
namespace {

std::optional<Duration> seconds(std::optional<double> value) {
  if (!value) return std::nullopt;
  return from_seconds(*value);
}

void gather_processes(pg::Session& session, WorkFacts& facts) {
  const auto rows = session.run<sql::DoctorProcesses>();
  const auto row = rows.one();
  facts.living = row.living;
  facts.working = row.working;
  facts.dead_with_claims = row.dead_with_claims;
  facts.dead_tasks = row.dead_tasks;
  facts.dead_jobs = row.dead_jobs;
  facts.overdue = seconds(row.overdue_seconds);
}

void gather_schedules(pg::Session& session, WorkFacts& facts) {
  const auto rows = session.run<sql::DoctorSchedules>();
  const auto row = rows.one();
  facts.pipelines = row.pipelines;
  facts.scheduled = row.scheduled;
  facts.paused = row.paused;
  facts.due = row.due;
  facts.due_for = seconds(row.due_seconds);
  facts.untold = row.untold;
  const auto alerts = session.run<sql::DoctorAlerts>();
  const auto told = alerts.one();
  facts.alerts_waiting = told.waiting;
  facts.alerts_wait = seconds(told.waits_seconds);
  facts.alerts_given_up = told.given_up;
  facts.alert_error = std::string(told.last_error.value_or(""));
}

void gather_letters(pg::Session& session, WorkFacts& facts) {
  const auto rows = session.run<sql::DoctorDeadLetters>(WorkFacts::kMostLetters);
  const auto row = rows.one();
  facts.letters = row.letters;
  facts.letters_unbounded = row.unbounded;
  facts.letters_since = seconds(row.oldest_seconds);
  facts.letters_of = std::string(row.worst.value_or(""));
}

void gather_sleepers(pg::Session& session, WorkFacts& facts) {
  const auto rows =
      session.run<sql::DoctorSleepers>(std::int64_t{group::kFrozenListener / std::chrono::milliseconds(1)});
  const auto row = rows.one();
  facts.sleeping = row.sleeping;
  facts.frozen = row.frozen;
  facts.silent = seconds(row.silent_seconds);
  facts.frozen_pid = row.frozen_pid;
  facts.frozen_at = std::string(row.frozen_at.value_or(""));
  facts.notify_queue = row.queue_usage;
}

void gather_tables(pg::Session& session, WorkFacts& facts) {
  for (const auto& row : session.run<sql::DoctorHistory>())
    facts.history.push_back(
        {std::string(row.parent), row.days_ahead, row.days_kept, row.keep_days, row.bytes});
  for (const auto& row : session.run<sql::DoctorTables>())
    facts.tables.push_back({std::string(row.name), row.live, row.dead, row.bytes, row.seq_scans, row.seq_rows,
                            row.index_scans, seconds(row.vacuumed_seconds)});
  for (const auto& row : session.run<sql::DoctorIndexes>())
    facts.indexes.push_back({std::string(row.name), row.scans, row.bytes, row.is_constraint});
}

}  // namespace

std::optional<WorkFacts> gather_work(pg::Session& session) {
  WorkFacts facts;
  try {
    gather_processes(session, facts);
    gather_schedules(session, facts);
    for (const auto& row : session.run<sql::DoctorPools>())
      facts.pools.push_back({std::string(row.pool), row.slots, row.taken, row.running, row.ready, row.wanted,
                             seconds(row.waits_seconds), row.users, row.widest});
    gather_letters(session, facts);
    gather_sleepers(session, facts);
    gather_tables(session, facts);
  } catch (const pg::Error& error) {
    if (error.info().sqlstate == "42501") return std::nullopt;
    throw;
  }
  return facts;
}

}  // namespace weir::cli
