#include "pipeline/run/explain.h"

#include <fmt/format.h>

#include "base/text.h"
#include "pipeline/time/preview.h"
#include "schema/queries/pipelines.h"

namespace weir::pipeline {
namespace {

std::string no_worker(pg::Session& session) {
  const auto rows = session.run<sql::TaskWorkers>();
  return rows.one().workers > 0 ? std::string()
                                : "nobody works on pipelines just now: weir up, or weir worker";
}

/// Workers that cannot have it, and the first one's reason.
std::string left_to_others(pg::Session& session, std::int64_t run) {
  const auto rows = session.run<sql::LeftToOthers>(run);
  if (rows.empty()) return {};
  const auto workers = session.run<sql::TaskWorkers>();
  return fmt::format(
      "{} of {} workers cannot read its definition: {} ({}); a newer Weir there can, or weir "
      "deploy by one that is as old",
      rows.size(), workers.one().workers, rows[0].reason, rows[0].worker);
}

void add(std::vector<std::string>& reasons, std::string reason) {
  if (!reason.empty()) reasons.push_back(std::move(reason));
}

/// Who holds a pool, when it has a limit.
std::string pool_use(pg::Session& session, std::int32_t pool, std::string_view name) {
  const auto rows = session.run<sql::PoolHolders>(pool);
  if (rows.empty() || !rows[0].slots) return {};
  std::string holders;
  for (const auto& row : rows) {
    if (!row.run_id) continue;
    holders += fmt::format("{}{} of run {} ({}: {})", holders.empty() ? "" : ", ", *row.task, *row.run_id,
                           *row.pipeline, row.held.value_or(1));
  }
  return fmt::format("pool {} has {} of {} slots taken{}{}", name, rows[0].used, *rows[0].slots,
                     holders.empty() ? "" : ": ", holders);
}

std::string text(std::optional<WallTime> at) { return at ? utc_text(*at) : "-"; }

template <class Row>
void explain_ready(pg::Session& session, std::int64_t run, const Row& row,
                   std::vector<std::string>& reasons) {
  add(reasons, no_worker(session));
  add(reasons, left_to_others(session, run));
  if (row.pool_id) add(reasons, pool_use(session, *row.pool_id, row.pool.value_or("?")));
  const auto ahead = session.run<sql::ReadyBefore>(run, row.task_no, row.item);
  const std::int64_t count = ahead.one().ahead;
  if (count > 0)
    add(reasons, fmt::format("{}{} ready tasks of its pool come first", count == 1000 ? "over " : "", count));
  if (reasons.empty()) add(reasons, "it is about to be started");
}

template <class Row>
void explain_waiting(pg::Session& session, std::int64_t run, const Row& row,
                     std::vector<std::string>& reasons) {
  if (row.item >= 0) {
    add(reasons, "only so many pieces of it run at a time (max_parallel)");
    return;
  }
  for (const auto& before : session.run<sql::UnfinishedBefore>(run, row.task_no)) {
    add(reasons, fmt::format("it comes after {}, which is {}{}", before.name, before.state,
                             before.error ? ": " + std::string(*before.error) : ""));
  }
  add(reasons, fmt::format("{} of {} tasks before it have ended (rule {})", row.upstream - row.remaining,
                           row.upstream, row.rule));
}

template <class Row>
void explain_turn(pg::Session& session, std::int64_t run, const Row& row, std::vector<std::string>& reasons) {
  for (const auto& turn : session.run<sql::TurnOfRun>(run)) {
    if (turn.again) add(reasons, "it was begun again, and waits for its turn; its tasks are as they were");
    const bool by_hand = turn.again || (row.kind == "manual" && !turn.removed);
    if (row.paused && !by_hand)
      add(reasons, fmt::format("{} is paused: weir resume {}", row.pipeline, row.pipeline));
    if (turn.removed && !by_hand)
      add(reasons, fmt::format("{} is no more in its project: weir cancel {}", row.pipeline, run));
    if (turn.backfill) {
      add(reasons, fmt::format("{} of {} runs of backfill {} at a time (--parallel)", turn.active, turn.most,
                               *turn.backfill));
    } else {
      add(reasons, fmt::format("{} of {} runs of {} at a time (max_active_runs)", turn.active, turn.most,
                               row.pipeline));
    }
  }
  add(reasons, no_worker(session));
}

}  // namespace

std::optional<Explanation> explain_task(pg::Session& session, std::int64_t run, std::int32_t task,
                                        std::int32_t item) {
  const auto tasks = session.run<sql::ListTasks>(run);
  for (const auto& row : tasks) {
    if (row.task_no != task || row.item != item) continue;
    Explanation explanation{.subject = fmt::format("task {}{} of run {}", row.name,
                                                   item < 0 ? "" : fmt::format("/{}", item), run),
                            .state = std::string(row.state)};
    auto& reasons = explanation.reasons;
    if (row.state == "ready") {
      explain_ready(session, run, row, reasons);
    } else if (row.state == "waiting") {
      explain_waiting(session, run, row, reasons);
    } else if (row.state == "retry_wait") {
      add(reasons, fmt::format("it is tried again at {}", text(row.ready_at)));
      add(reasons, row.failures > 0
                       ? fmt::format("it has failed {} times{}", row.failures,
                                     row.error ? ", the last time: " + std::string(*row.error) : "")
                       : "what it waits for was not there yet");
    } else if (row.state == "running") {
      add(reasons, fmt::format("attempt {} runs since {} on {}", row.attempt, text(row.started_at),
                               row.worker.value_or("?")));
    } else if (row.state == "mapped") {
      add(reasons, fmt::format("{} of its {} pieces have ended", row.upstream - row.remaining, row.upstream));
    } else {
      add(reasons, fmt::format("it ended at {}, at attempt {}", text(row.ended_at), row.attempt));
      if (row.error) add(reasons, std::string(*row.error));
    }
    for (const auto& turn : session.run<sql::BeginsWithRun>(run, task)) {
      if (turn.waits)
        add(reasons, fmt::format("it begins again when its run has its turn: weir explain {}", run));
    }
    return explanation;
  }
  return std::nullopt;
}

std::optional<Explanation> explain_run(pg::Session& session, std::int64_t run) {
  const auto rows = session.run<sql::ShowRun>(run);
  if (rows.empty()) return std::nullopt;
  const auto row = rows.one();
  Explanation explanation{.subject = fmt::format("run {} of {}", run, row.pipeline),
                          .state = std::string(row.state)};
  auto& reasons = explanation.reasons;
  if (row.state == "queued") {
    explain_turn(session, run, row, reasons);
    return explanation;
  }
  if (row.ended_at) {
    add(reasons, fmt::format("it ended at {}", text(row.ended_at)));
  }
  for (const auto& task : session.run<sql::ListTasks>(run)) {
    const bool open = !row.ended_at && task.item < 0 && task.state != "success" && task.state != "skipped";
    const bool failed = row.ended_at && task.item < 0 && task.state == "failed";
    if (!open && !failed) continue;
    if (reasons.size() >= 20) {
      add(reasons, "and more: weir runs " + std::to_string(run));
      break;
    }
    add(reasons,
        fmt::format("{} is {}{}", task.name, task.state, task.error ? ": " + std::string(*task.error) : ""));
  }
  return explanation;
}

}  // namespace weir::pipeline
