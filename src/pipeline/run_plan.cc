#include "pipeline/run_plan.h"

#include <algorithm>

#include "pipeline/task_verdict.h"

namespace weir::pipeline {
namespace {

/// Whether a crash of the server undoes what the task did, together with its start.
bool is_undone_by_crash(const TaskDefinition& task) {
  if (const auto* sql = std::get_if<SqlBody>(&task.body)) return sql->transaction && sql->connection.empty();
  return std::holds_alternative<ModelBody>(task.body) || std::holds_alternative<WaitBody>(task.body);
}

/// The run may not end before it: nothing that comes after it waits for its end.
bool is_tail(const PipelineDefinition& pipeline, const TaskDefinition& task) {
  return std::all_of(task.downstream.begin(), task.downstream.end(), [&](int no) {
    return decides_early(pipeline.tasks[static_cast<std::size_t>(no)].rule);
  });
}

}  // namespace

std::vector<PlannedTask> plan_run(const PipelineDefinition& pipeline) {
  const int end = static_cast<int>(pipeline.tasks.size());
  std::vector<PlannedTask> plan;
  PlannedTask last{.rule = TriggerRule::all_done};
  for (const TaskDefinition& task : pipeline.tasks) {
    PlannedTask planned{.name = task.name,
                        .pool = task.pool,
                        .slots = task.slots,
                        .upstream = static_cast<int>(task.upstream.size()),
                        .priority = task.priority,
                        .durable = !is_undone_by_crash(task),
                        .allow_failure = task.allow_failure,
                        .rule = task.rule,
                        .successors = task.downstream,
                        .produces = task.produces};
    if (is_tail(pipeline, task)) {
      planned.successors.push_back(end);
      ++last.upstream;
    }
    plan.push_back(std::move(planned));
  }
  plan.push_back(std::move(last));
  for (PlannedTask& task : plan) {
    task.deferred = std::any_of(task.successors.begin(), task.successors.end(), [&](int no) {
      return plan[static_cast<std::size_t>(no)].upstream > kManyBefore;
    });
  }
  return plan;
}

}  // namespace weir::pipeline
