#include "pipeline/run/scheduler.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "pg/transaction.h"
#include "pipeline/run/parameters.h"
#include "pipeline/time/schedule.h"
#include "schema/queries.h"

namespace weir::pipeline {
namespace {

/// Pipelines that one transaction fires: it holds their rows.
constexpr std::int32_t kFiredTogether = 50;
/// Of one pipeline at once, where it missed many.
constexpr std::size_t kMostMissed = 100;

}  // namespace

Duration Scheduler::fire(pg::Session& session, Duration longest, std::optional<WallTime> now) {
  while (fire_some(session, now) == static_cast<std::size_t>(kFiredTogether)) {
  }
  Duration pause = longest;
  for (const auto& row : session.run<sql::NextFiring>(now))
    pause = std::min<Duration>(pause, std::chrono::milliseconds(row.next_ms));
  return pause;
}

std::size_t Scheduler::fire_some(pg::Session& session, std::optional<WallTime> now) {
  pg::Transaction transaction(session);
  const auto due = session.run<sql::DuePipelines>(now, kFiredTogether);
  for (const auto& row : due) {
    try {
      const auto definition = definitions_.get(session, row.id, row.version);
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
      // It would be tried for ever, and stand in the way of the others.
      log::error("a pipeline cannot be scheduled: it is not, until it is deployed again",
                 {{"pipeline", row.name}, {"error", error.what()}});
      session.run<sql::SetNextFiring>(row.id, std::nullopt, std::nullopt);
    }
  }
  transaction.commit();
  return static_cast<std::size_t>(due.size());
}

void Scheduler::fire_updated(pg::Session& session) {
  pg::Transaction transaction(session);
  const auto updated = session.run<sql::UpdatedPipelines>(kFiredTogether);
  if (updated.empty()) return;
  for (const auto& row : updated) {
    const auto definition = definitions_.get(session, row.id, row.version);
    session.run<sql::CreateRun>(row.id, "dataset", row.updated_at, row.updated_at, row.updated_at,
                                pg::JsonView{default_parameters(*definition)}, 0, std::nullopt, std::nullopt);
    session.run<sql::StartRuns>(row.id);
  }
  transaction.commit();
}

}  // namespace weir::pipeline
