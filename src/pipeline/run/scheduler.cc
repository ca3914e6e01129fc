#include "pipeline/run/scheduler.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "pipeline/run/parameters.h"
#include "pipeline/time/schedule.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {
namespace {

/// Pipelines that one transaction fires: it holds their rows.
constexpr std::int32_t kFiredTogether = 50;
/// Of one pipeline at once, where it missed many.
constexpr std::size_t kMostMissed = 100;

}  // namespace

Duration Scheduler::fire(pg::Session& session, Duration longest, std::optional<WallTime> now) {
  std::int32_t wanted = kFiredTogether;
  for (bool more = true; more;) {
    std::int32_t current = 0;
    try {
      more = fire_some(session, now, wanted, current) == static_cast<std::size_t>(wanted);
    } catch (const pg::Error& error) {
      // One of them; the others must not wait for it.
      if (error.kind() != pg::ErrorKind::server || current == 0) throw;
      if (wanted == 1) {
        log::error("a pipeline cannot be scheduled; it is tried again in a minute",
                   {{"pipeline", current}, {"error", error.what()}});
        session.run<sql::PostponeFiring>(current, now);
      }
      wanted = 1;
    }
  }
  Duration pause = longest;
  for (const auto& row : session.run<sql::NextFiring>(now, definitions_.avoided()))
    pause = std::min<Duration>(pause, std::chrono::milliseconds(row.next_ms));
  return pause;
}

std::size_t Scheduler::fire_some(pg::Session& session, std::optional<WallTime> now, std::int32_t wanted,
                                 std::int32_t& current) {
  pg::Transaction transaction(session);
  const auto due = session.run<sql::DuePipelines>(now, wanted, definitions_.avoided());
  for (const auto& row : due) {
    current = row.id;
    const auto definition = read(session, row.id, row.version, row.name);
    if (!definition) continue;
    try {
      const Schedule schedule(definition->schedule);
      const WallTime last = row.fired_at.value_or(row.next_at - std::chrono::microseconds(1));
      const Due instants =
          schedule.due(last, row.now, {.missed = definition->schedule.missed, .most = kMostMissed});
      const std::string params = default_parameters(*definition);
      for (const WallTime logical : instants.instants) {
        const DataInterval interval = schedule.interval(logical);
        std::optional<WallTime> late_at;
        if (definition->deadline)
          late_at = logical + std::chrono::duration_cast<std::chrono::microseconds>(*definition->deadline);
        session.run<sql::CreateRun>(row.id, "scheduled", logical, interval.from, interval.to,
                                    pg::JsonView{params}, 0, late_at, std::nullopt);
      }
      session.run<sql::SetNextFiring>(row.id, schedule.next_after(instants.mark), instants.mark);
      session.run<sql::StartRuns>(row.id);
    } catch (const pg::Error&) {
      throw;
    } catch (const Error& error) {
      // This host lacks a zone: others can schedule it. It keeps what was fired, so that nothing is missed,
      // and stands in nobody's way meanwhile.
      log::error("a pipeline cannot be scheduled here; it is tried again in a minute",
                 {{"pipeline", row.name}, {"error", error.what()}});
      session.run<sql::PostponeFiring>(row.id, now);
    }
  }
  transaction.commit();
  return static_cast<std::size_t>(due.size());
}

std::shared_ptr<const PipelineDefinition> Scheduler::read(pg::Session& session, std::int32_t pipeline,
                                                          std::int32_t version, std::string_view name) {
  try {
    return definitions_.get(session, pipeline, version);
  } catch (const pg::Error&) {
    throw;
  } catch (const std::exception& error) {
    log::error("a pipeline is left to other workers to schedule: its definition cannot be read here",
               {{"pipeline", name}, {"version", version}, {"error", error.what()}});
    return nullptr;
  }
}

void Scheduler::fire_updated(pg::Session& session) {
  pg::Transaction transaction(session);
  const auto updated = session.run<sql::UpdatedPipelines>(kFiredTogether, definitions_.avoided());
  for (const auto& row : updated) {
    const auto definition = read(session, row.id, row.version, row.name);
    if (!definition) continue;  // the updates wait for others
    const std::string params = default_parameters(*definition);
    std::optional<WallTime> at;
    for (const auto& update : session.run<sql::TakeDatasetUpdates>(row.id))
      at = std::max(at.value_or(update.updated_at), update.updated_at);
    if (!at) continue;  // another process was faster
    session.run<sql::CreateRun>(row.id, "dataset", *at, *at, *at, pg::JsonView{params}, 0, std::nullopt,
                                std::nullopt);
    session.run<sql::StartRuns>(row.id);
  }
  transaction.commit();
}

}  // namespace weir::pipeline
