#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/time/schedule.h"

namespace weir::pipeline {

/// A logical time as people look at it.
struct Occurrence {
  WallTime at;
  DataInterval interval;
  std::string utc;    ///< "2026-03-29T01:00:00Z"
  std::string local;  ///< "2026-03-29T03:00:00+02:00"
  std::string zone;   ///< "CEST"
  std::string note;   ///< what the clocks do to it; mostly empty
};

/// The next `count` after `after`; fewer where the schedule ends.
std::vector<Occurrence> preview(const Schedule& schedule, WallTime after, int count);

std::string utc_text(WallTime at);
/// With the offset, and so the instant itself.
std::string local_text(WallTime at, const Zone& zone);
/// "+05:30"
std::string offset_text(Offset offset);

/// "2026-03-29", "2026-03-29T01:30", "2026-03-29 01:30:00", with or without "Z" or "+02:00"; without them it
/// is local time of `zone`. Nothing for anything else, and for a local time that the zone skips.
std::optional<WallTime> parse_instant(std::string_view text, const Zone& zone);

}  // namespace weir::pipeline
