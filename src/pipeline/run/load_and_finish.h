#pragma once

#include <functional>

#include "pipeline/run/running_task.h"

namespace weir::pipeline {

/// Loads, and ends the task in the transaction that writes the target, after `check`. The task's stop and its
/// timeout end it.
work::Outcome load_and_finish(RunningTask& running, LoadOrder order,
                              const std::function<void(pg::Session&)>& check = {});

}  // namespace weir::pipeline
