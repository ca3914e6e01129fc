#include "pipeline/time/schedule.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/time/tick.h"

namespace weir::pipeline {
namespace {

using std::chrono::microseconds;

constexpr microseconds kTick(1);

}  // namespace

Schedule::Schedule(const ScheduleDefinition& definition)
    : zone_(Zone::load(definition.timezone)),
      dst_(definition.dst),
      anchor_(definition.start.value_or(WallTime{})),
      start_(definition.start),
      end_(definition.end) {
  if (!definition.cron.empty() && definition.every)
    throw Error(ExitCode::definition, "a schedule has both cron and every", "Leave one of them out.");
  if (!definition.cron.empty()) cron_ = Cron::parse(definition.cron);
  if (!definition.every) return;
  every_ = std::chrono::duration_cast<microseconds>(*definition.every);
  if (*every_ < std::chrono::seconds(1)) {
    throw Error(ExitCode::definition,
                fmt::format("every: {} is too often", human_duration(*definition.every)),
                "The shortest rhythm is 1s. What comes more often is work for a queue: weir help worker");
  }
}

std::optional<WallTime> Schedule::unbounded_after(WallTime at) const {
  at = std::max(at, WallTime(kEarliest));
  if (at >= kLatest) return std::nullopt;
  if (every_) {
    // Rounded down, also before the anchor.
    const auto since = at - anchor_;
    const auto rest = (since % *every_ + *every_) % *every_;
    return at - rest + *every_;
  }
  if (!cron_) return std::nullopt;
  return next_tick(*cron_, zone_, dst_, std::chrono::floor<std::chrono::seconds>(at));
}

std::optional<WallTime> Schedule::unbounded_before(WallTime at) const {
  if (at <= kEarliest) return std::nullopt;
  at = std::min(at, WallTime(kLatest));
  if (every_) return *unbounded_after(at - kTick) - *every_;
  if (!cron_) return std::nullopt;
  return previous_tick(*cron_, zone_, dst_, std::chrono::ceil<std::chrono::seconds>(at));
}

std::optional<WallTime> Schedule::next_after(WallTime at) const {
  if (start_) at = std::max(at, *start_ - kTick);
  const auto next = unbounded_after(at);
  return next && (!end_ || *next < *end_) ? next : std::nullopt;
}

DataInterval Schedule::interval(WallTime logical) const {
  return {unbounded_before(logical).value_or(logical), logical};
}

bool Schedule::is_moved(WallTime logical) const {
  return cron_ && !cron_->matches(zone_.to_local(std::chrono::floor<std::chrono::seconds>(logical)));
}

/// The last logical time in (last, now].
std::optional<WallTime> Schedule::newest(WallTime last, WallTime now) const {
  WallTime before = now + kTick;
  if (end_) before = std::min(before, *end_);
  const auto found = unbounded_before(before);
  return found && *found > last && (!start_ || *found >= *start_) ? found : std::nullopt;
}

Due Schedule::due(WallTime last, WallTime now, const DueRule& rule) const {
  Due due{.instants = {}, .mark = last};
  if (rule.missed != Missed::all) {
    const auto found = newest(last, now);
    if (!found) return due;
    due.mark = *found;
    if (rule.missed == Missed::last || now - *found <= rule.grace) due.instants.push_back(*found);
    return due;
  }
  for (auto next = next_after(last); next && *next <= now; next = next_after(*next)) {
    if (due.instants.size() == rule.most) {
      due.more = true;
      break;
    }
    due.instants.push_back(*next);
    due.mark = *next;
  }
  return due;
}

}  // namespace weir::pipeline
