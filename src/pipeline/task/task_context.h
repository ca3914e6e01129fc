#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "pipeline/time/schedule.h"

namespace weir::pipeline {

/// What a task that runs knows about itself.
struct TaskContext {
  std::string pipeline;
  std::int64_t run = 0;
  std::string task;
  int attempt = 1;
  WallTime logical_time{};
  DataInterval interval{};
  std::string params = "{}";          ///< a JSON object, as the run keeps it
  std::optional<std::string> item{};  ///< JSON: the element of a mapped task
};

}  // namespace weir::pipeline
