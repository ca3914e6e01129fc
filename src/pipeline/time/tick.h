#pragma once

#include <optional>

#include "pipeline/define/definition.h"
#include "pipeline/time/cron.h"
#include "pipeline/time/zone.h"

namespace weir::pipeline {

/// Schedules know no time outside of these: a century or two more, and the calendar itself is a guess.
inline constexpr Instant kEarliest = std::chrono::sys_days(std::chrono::year(1) / 1 / 1);
inline constexpr Instant kLatest = std::chrono::sys_days(std::chrono::year(9999) / 12 / 31);

/// The first instant after `after` at which `cron` fires in `zone`; nothing where there is none for 50 years.
///
/// Hours with a `*` or a step are a rhythm: every real instant counts whose local time matches, so a skipped
/// hour has none and a repeated one has them twice. Fixed hours are a time of day: each minute that matches
/// comes once in each local day. One that is skipped comes at the first instant after the gap, one that is
/// repeated comes the first time; `rule` changes both. A day that a zone skips as a whole has no runs.
std::optional<Instant> next_tick(const Cron& cron, const Zone& zone, DstRule rule, Instant after);

/// The last one before `before`; nothing where there is none for 50 years.
std::optional<Instant> previous_tick(const Cron& cron, const Zone& zone, DstRule rule, Instant before);

}  // namespace weir::pipeline
