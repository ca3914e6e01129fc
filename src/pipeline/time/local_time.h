#pragma once

#include <chrono>

namespace weir::pipeline {

/// What a clock on the wall shows, in whatever zone.
using LocalTime = std::chrono::local_seconds;
using Instant = std::chrono::sys_seconds;
using Offset = std::chrono::seconds;  ///< local time minus UTC

}  // namespace weir::pipeline
