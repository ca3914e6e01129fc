#include "stream/lane_run.h"

#include <chrono>
#include <string_view>

#include "base/backoff.h"
#include "base/text.h"
#include "schema/queries/streams_lanes.h"
#include "work/settling.h"

namespace weir::stream {
namespace {

/// Of an error's text that is kept with a lane.
constexpr std::size_t kMostLaneError = 10'000;
/// With so many events at a time nothing is suspected any more.
constexpr std::int32_t kUnsuspicious = 1000;

}  // namespace

bool LaneRun::settle(const Place& place, const work::Outcome& outcome) {
  const int attempt = (lane_.failed_event == place.event ? lane_.attempt : 0) + 1;
  const work::Decision decision =
      work::decide(outcome, attempt, group_.max_attempts, false, false, group_.backoff, random_unit());
  switch (decision.action) {
    case work::Action::done: ++done_; break;
    case work::Action::dead: dead_letters_.add(place.event, outcome, attempt); break;
    case work::Action::later:
    case work::Action::later_uncounted:
      failed_ = Failed{.attempts = decision.action == work::Action::later ? attempt : attempt - 1,
                       .delay = decision.delay,
                       .error = storable_text(std::string_view(outcome.text()).substr(0, kMostLaneError))};
      stays_at_ = place.event;
      stays_ = true;
      return false;
    case work::Action::back:
    case work::Action::cancelled:  // nobody cancels events
      if (lane_.failed_event == place.event) stays_at_ = place.event;
      stays_ = true;
      return false;
  }
  last_ = place;
  return true;
}

bool LaneRun::end_unit(pg::Session& session, const StreamSql& sql, const LaneUnit& unit,
                       const GroupWork& work, bool cut) {
  dead_letters_.write(session, sql, work);
  if (!stays_ && !cut) {
    position_ = position_behind(unit);
    moved_ = true;
  } else if (last_) {
    position_ = position_at(unit, *last_);
    moved_ = true;
  } else if (position_.done_chunk < unit.chunks.front().number - 1) {
    // What was skipped before it, by a seek, is behind.
    position_ = {.done_chunk = unit.chunks.front().number - 1};
  }
  last_.reset();
  return !stays_ && !cut;
}

void LaneRun::reached(std::int64_t chunk) noexcept {
  if (chunk <= position_.done_chunk) return;
  position_ = {.done_chunk = chunk};
  moved_ = true;
}

void LaneRun::write(pg::Session& session) const {
  const bool part = position_.part_chunk.has_value();
  // It has not come to the event that failed before: that may still be there.
  const bool as_before = !stays_at_ && !moved_ && lane_.failed_event;
  const auto failed_event = as_before ? lane_.failed_event : stays_at_;
  const int attempts = failed_ ? failed_->attempts : failed_event ? lane_.attempt : 0;
  const auto delay_ms =
      failed_ ? std::optional(std::chrono::ceil<std::chrono::milliseconds>(failed_->delay).count())
              : std::nullopt;
  const auto error = failed_ ? std::optional<std::string_view>(failed_->error) : std::nullopt;
  std::optional<std::int32_t> most = lane_.most;
  if (most && moved_) most = *most * 2 < kUnsuspicious ? std::optional(*most * 2) : std::nullopt;
  session.run<sql::LeaveStreamLane>(group_.id, lane_.lane, position_.done_chunk, position_.part_chunk,
                                    part ? std::optional(position_.part.xid) : std::nullopt,
                                    part ? std::optional(position_.part.event) : std::nullopt, failed_event,
                                    static_cast<std::int16_t>(attempts), delay_ms, error, most);
}

}  // namespace weir::stream
