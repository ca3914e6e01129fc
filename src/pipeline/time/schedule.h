#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "pipeline/define/definition.h"
#include "pipeline/time/cron.h"
#include "pipeline/time/zone.h"

namespace weir::pipeline {

/// The data that a run is about: [from, to), and `to` is its logical time.
struct DataInterval {
  WallTime from;
  WallTime to;
};

/// What should run now.
struct Due {
  std::vector<WallTime> instants;  ///< ascending
  /// The newest instant that was judged, also where it is not to be run: `last` of the next question.
  WallTime mark;
  bool more = false;  ///< there are more, after `mark`: ask again once these are stored
};

struct DueRule {
  Missed missed = Missed::last;
  /// With Missed::none an instant is missed when it is older than this: a scheduler is never on the dot.
  Duration grace = std::chrono::minutes(1);
  std::size_t most = 1000;  ///< so many at once, with Missed::all
};

/// When a pipeline runs, by its cron or `every`. Pure: it asks no clock.
class Schedule {
 public:
  /// Throws CronError, or Error(definition) about the zone or the rhythm.
  explicit Schedule(const ScheduleDefinition& definition);

  /// False: by datasets or by hand only; then nothing below has an answer.
  [[nodiscard]] bool timed() const noexcept { return cron_ || every_; }
  [[nodiscard]] const Zone& zone() const noexcept { return zone_; }

  /// The first logical time after `at`, in [start, end).
  [[nodiscard]] std::optional<WallTime> next_after(WallTime at) const;
  /// From the instant before, in or out of start and end, to this one.
  [[nodiscard]] DataInterval interval(WallTime logical) const;
  /// It is no time that cron names: that one is skipped by the clocks, and this is the first one after it.
  [[nodiscard]] bool is_moved(WallTime logical) const;
  /// Of the logical times in (last, now]. A clock that went back has no new ones.
  [[nodiscard]] Due due(WallTime last, WallTime now, const DueRule& rule) const;

 private:
  [[nodiscard]] std::optional<WallTime> unbounded_after(WallTime at) const;
  [[nodiscard]] std::optional<WallTime> unbounded_before(WallTime at) const;
  [[nodiscard]] std::optional<WallTime> newest(WallTime last, WallTime now) const;

  Zone zone_;
  std::optional<Cron> cron_;
  DstRule dst_;
  std::optional<std::chrono::microseconds> every_;
  WallTime anchor_{};
  std::optional<WallTime> start_;
  std::optional<WallTime> end_;
};

}  // namespace weir::pipeline
