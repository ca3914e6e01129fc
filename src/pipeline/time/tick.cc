#include "pipeline/time/tick.h"

#include <algorithm>

namespace weir::pipeline {
namespace {

using std::chrono::days;
using std::chrono::seconds;

// The 29th of February on certain days of the week (`*/6` in the last field) may be decades away.
constexpr seconds kHorizon = days(50 * 366);

constexpr LocalTime local(Instant at, Offset offset) { return LocalTime(at.time_since_epoch() + offset); }
constexpr Instant instant(LocalTime time, Offset offset) { return Instant(time.time_since_epoch() - offset); }

bool is_wanted(const Zone& zone, DstRule::Overlap rule, LocalTime time, Instant at) {
  if (rule == DstRule::Overlap::both) return true;
  const Meaning meaning = zone.resolve(time);
  if (meaning.kind != Meaning::Kind::repeated) return true;
  return at == (rule == DstRule::Overlap::first ? meaning.first : meaning.last);
}

/// In [from, end), where the offset does not change.
std::optional<Instant> next_in_stretch(const Cron& cron, const Zone& zone, DstRule rule, Offset offset,
                                       Instant from, Instant end) {
  for (LocalTime at = local(from, offset);;) {
    const auto found = cron.next(at, local(end, offset));
    if (!found) return std::nullopt;
    const Instant candidate = instant(*found, offset);
    if (!cron.fixed_hours() || is_wanted(zone, rule.overlap, *found, candidate)) return candidate;
    at = *found + std::chrono::minutes(1);
  }
}

/// Whether a minute that matches is skipped, of a day that is not skipped as a whole.
bool skips_a_match(const Cron& cron, const Change& change) {
  const LocalTime begin = local(change.at, change.before);
  const LocalTime end = local(change.at, change.after);
  for (LocalTime at = begin;;) {
    const auto found = cron.next(at, end);
    if (!found) return false;
    const auto day = std::chrono::floor<days>(*found);
    if (day < begin || day + days(1) > end) return true;
    at = day + days(1);
  }
}

}  // namespace

std::optional<Instant> next_tick(const Cron& cron, const Zone& zone, DstRule rule, Instant after) {
  if (after >= kLatest) return std::nullopt;
  after = std::max(after, kEarliest);
  const Instant horizon = std::min(after + kHorizon, kLatest);
  const bool shifts = cron.fixed_hours() && rule.gap == DstRule::Gap::shift;

  Instant from = after + seconds(1);
  Offset offset = zone.offset(after);
  auto change = zone.next_change(after);
  for (;;) {
    const Instant end = change ? std::min(change->at, horizon) : horizon;
    if (const auto found = next_in_stretch(cron, zone, rule, offset, from, end)) return found;
    if (end == horizon) return std::nullopt;
    if (shifts && skips_a_match(cron, *change)) return change->at;
    from = change->at;
    offset = change->after;
    change = zone.next_change(from);
  }
}

std::optional<Instant> previous_tick(const Cron& cron, const Zone& zone, DstRule rule, Instant before) {
  before = std::min(before, kLatest);
  const auto next_before = [&](Instant after) {
    const auto tick = next_tick(cron, zone, rule, after);
    return tick && *tick < before ? tick : std::nullopt;
  };
  // Look back in growing steps for any, then halve the rest: only one direction needs to be right.
  std::optional<Instant> best;
  for (seconds span = std::chrono::minutes(2); !best && span < 4 * kHorizon; span *= 4) {
    if (before - std::min(span, kHorizon) < kEarliest) return std::nullopt;
    best = next_before(before - std::min(span, kHorizon));
  }
  for (Instant end = before; best;) {
    const auto later = next_before(*best);
    if (!later) break;
    best = later;
    const Instant middle = *best + (end - *best) / 2;
    if (const auto far = next_before(middle)) {
      best = far;
    } else {
      end = middle;
    }
  }
  return best;
}

}  // namespace weir::pipeline
