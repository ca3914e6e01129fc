#include "pipeline/run/deploy.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/transaction.h"
#include "pipeline/define/definition_json.h"
#include "pipeline/run/store.h"
#include "pipeline/run_plan.h"
#include "pipeline/time/schedule.h"
#include "schema/queries/admin.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "schema/queries/work.h"

namespace weir::pipeline {
namespace {

using Kind = PipelineChange::Kind;

struct Stored {
  std::int32_t id = 0;
  std::int32_t version = 0;
  bool removed = false;
  std::optional<WallTime> next_at{};
  std::string hash{};
  std::optional<PipelineDefinition> definition{};  ///< nothing where it cannot be read any more
};

std::optional<PipelineDefinition> read_stored(std::string_view json) {
  try {
    return pipeline_from_json(json);
  } catch (const Error&) {
    return std::nullopt;
  }
}

[[noreturn]] void refuse_foreign(const std::string& name, std::string_view project) {
  throw Error(ExitCode::refused, fmt::format("pipeline {} belongs to the project {}", name, project),
              "Rename one of them: a name stands for one pipeline in a database.");
}

PipelineChange change_of(const PipelineDefinition& definition, const Stored* stored) {
  PipelineChange change{.name = definition.name};
  if (stored == nullptr || stored->version == 0 || stored->removed) {
    change.kind = Kind::added;
    return change;
  }
  change.version = stored->version;
  if (stored->hash == definition_hash(definition)) return change;
  change.kind = Kind::changed;
  if (stored->definition) change.diff = diff(*stored->definition, definition);
  return change;
}

/// When it is due next. A new schedule begins now, or, where it is to make up for all it missed, at its
/// start.
struct Timing {
  std::optional<WallTime> next;
  std::optional<WallTime> fired;
};

Timing first_firing(const ScheduleDefinition& schedule, WallTime now) {
  const Schedule times(schedule);
  if (!times.timed()) return {};
  const bool catches_up = schedule.missed == Missed::all && schedule.start && *schedule.start < now;
  const WallTime from = catches_up ? *schedule.start - std::chrono::microseconds(1) : now;
  return {times.next_after(from), from};
}

void set_timing(pg::Session& session, const PipelineDefinition& definition, const Stored& stored,
                WallTime now) {
  const bool goes_on = stored.version > 0 && !stored.removed && stored.next_at && stored.definition &&
                       stored.definition->schedule == definition.schedule;
  if (goes_on) return;
  const Timing timing = first_firing(definition.schedule, now);
  session.run<sql::SetNextFiring>(stored.id, timing.next, timing.fired);
}

std::vector<PoolChange> pool_changes(pg::Session& session, const ProjectDefinition& project) {
  std::vector<PoolChange> changes;
  std::vector<std::string_view> there;
  const auto rows = session.run<sql::StoredPools>(project.name);
  for (const auto& row : rows) {
    there.emplace_back(row.name);
    const auto named = std::find_if(project.pools.begin(), project.pools.end(),
                                    [&](const PoolDefinition& pool) { return pool.name == row.name; });
    if (named != project.pools.end()) {
      if (named->slots != row.slots)
        changes.push_back({std::string(row.name), PoolChange::Kind::changed, row.slots, named->slots});
    } else if (row.slots && !row.of_others) {
      changes.push_back({std::string(row.name), PoolChange::Kind::kept, row.slots, row.slots});
    }
  }
  for (const PoolDefinition& pool : project.pools) {
    if (std::find(there.begin(), there.end(), pool.name) == there.end())
      changes.push_back({.name = pool.name, .kind = PoolChange::Kind::added, .after = pool.slots});
  }
  return changes;
}

std::optional<HistoryChange> history_change(pg::Session& session, const ProjectDefinition& project) {
  const auto days = static_cast<std::int32_t>(
      std::clamp<std::int64_t>(project.keep_history / std::chrono::hours(24), 1, 3650));
  const auto rows = session.run<sql::RunHistory>(days);
  const auto row = rows.one();
  if (row.keep_days == days) return std::nullopt;
  return HistoryChange{.before_days = row.keep_days, .after_days = days, .lost = row.lost};
}

void change_history(pg::Session& session, HistoryChange& change, HistoryLoss loss) {
  if (change.lost > 0 && loss == HistoryLoss::refuse) {
    throw Error(ExitCode::refused,
                fmt::format("a history of {} days instead of {} drops {} run{}", change.after_days,
                            change.before_days, human_count(change.lost), change.lost == 1 ? "" : "s"),
                "weir deploy --yes does it.");
  }
  change.refrained = change.lost > 0 && loss == HistoryLoss::refrain;
  if (!change.refrained) session.run<sql::SetRunHistory>(change.after_days);
}

}  // namespace

DeployReport plan_deployment(pg::Session& session, const ProjectDefinition& project) {
  DeployReport report;
  const auto rows = session.run<sql::StoredPipelines>();
  std::vector<std::string_view> names;
  for (const PipelineDefinition& definition : project.pipelines) {
    names.emplace_back(definition.name);
    Stored stored;
    bool found = false;
    for (const auto& row : rows) {
      if (row.name != definition.name) continue;
      if (row.project != project.name && !row.removed) refuse_foreign(definition.name, row.project);
      stored = {.id = row.id,
                .version = row.version,
                .removed = row.removed,
                .hash = std::string(row.hash.value_or(""))};
      if (row.definition) stored.definition = read_stored(row.definition->text);
      found = true;
    }
    report.pipelines.push_back(change_of(definition, found ? &stored : nullptr));
  }
  for (const auto& row : rows) {
    if (row.project == project.name && !row.removed &&
        std::find(names.begin(), names.end(), row.name) == names.end())
      report.pipelines.push_back(
          {.name = std::string(row.name), .kind = Kind::removed, .version = row.version});
  }
  report.pools = pool_changes(session, project);
  report.history = history_change(session, project);
  return report;
}

DeployReport deploy(pg::Session& session, const ProjectDefinition& project, HistoryLoss loss) {
  pg::Transaction transaction(session);
  session.run<sql::LockDeployments>();
  DeployReport report;
  const auto clock = session.run<sql::ServerNow>();
  const WallTime now = clock.one().at;
  report.pools = pool_changes(session, project);
  report.history = history_change(session, project);
  for (const PoolDefinition& pool : project.pools)
    session.run<sql::SetPool>(pool.name,
                              pool.slots ? std::optional<std::int32_t>(*pool.slots) : std::nullopt);
  if (report.history) change_history(session, *report.history, loss);
  // By name: two deployments at once take turns.
  std::vector<const PipelineDefinition*> ordered;
  for (const PipelineDefinition& definition : project.pipelines) ordered.push_back(&definition);
  std::sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  std::vector<std::string_view> names;
  for (const PipelineDefinition* definition : ordered) {
    names.emplace_back(definition->name);
    const auto made = session.run<sql::MakePipeline>(definition->name, project.name);
    const auto row = made.one();
    if (row.project != project.name) refuse_foreign(definition->name, row.project);
    Stored stored{.id = row.id, .version = row.version, .removed = row.removed, .next_at = row.next_at};
    const auto known = session.run<sql::PipelineHash>(row.id, row.version);
    if (!known.empty()) {
      stored.hash = std::string(known[0].hash);
      stored.definition = read_stored(known[0].definition.text);
    }
    PipelineChange change = change_of(*definition, &stored);
    change.version = store_definition(session, row.id, row.version,
                                      {.json = to_json(*definition),
                                       .hash = definition_hash(*definition),
                                       .plan = plan_run(*definition),
                                       .max_active_runs = definition->max_active_runs,
                                       .datasets = definition->schedule.datasets,
                                       .alerts = definition->alerts});
    set_timing(session, *definition, stored, now);
    report.pipelines.push_back(std::move(change));
  }
  for (const auto& row : session.run<sql::RemovePipelines>(project.name, names))
    report.pipelines.push_back({.name = std::string(row.name), .kind = Kind::removed});
  // A pool that has grown has room for what waits.
  if (!project.pools.empty()) session.run<sql::WakeTopic>("task", 2);
  transaction.commit();
  return report;
}

}  // namespace weir::pipeline
