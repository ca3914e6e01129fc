#pragma once

#include <optional>
#include <string>

#include "pipeline/define/definition.h"
#include "pipeline/define/diagnostics.h"

namespace weir::pipeline {

/// Where the parts of a schedule were written.
struct SchedulePositions {
  Position cron{};  ///< of its first character, behind the quote if there is one
  Position timezone{};
  Position end{};
};

/// Reports a cron expression, a zone and an interval that no schedule can have.
void check_schedule(const ScheduleDefinition& schedule, Diagnostics& diagnostics,
                    const SchedulePositions& positions);

/// "2026-01-01", "2026-01-01 06:00", "2026-01-01T06:00:00+02:00"; without an offset in `zone`, and in UTC
/// where there is no such zone. Nothing for anything else, the 30th of February too.
std::optional<WallTime> parse_instant(const std::string& text, const std::string& zone);

}  // namespace weir::pipeline
