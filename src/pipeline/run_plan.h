#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/define/definition.h"

namespace weir::pipeline {

/// A task as a run is made of it: a row of weir.pipeline_task.
struct PlannedTask {
  std::string name;                 ///< empty: the end of the run
  std::optional<std::string> pool;  ///< nothing: the end of the run
  int slots = 1;
  int upstream = 0;  ///< how many tasks tell it that they have ended
  int priority = 0;
  bool deferred = false;  ///< tells its successors in batches
  bool durable = false;   ///< its start must outlive a crash of the server
  bool allow_failure = false;
  TriggerRule rule = TriggerRule::all_success;
  std::vector<int> successors{};
  std::vector<std::string> produces{};
};

/// A task that so many others come before is told by them in batches: its row would be hot otherwise.
inline constexpr int kManyBefore = 8;

/// The tasks of a run in order, and its end behind them, which comes after each task that nothing else waits
/// for. Pure.
std::vector<PlannedTask> plan_run(const PipelineDefinition& pipeline);

}  // namespace weir::pipeline
