#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace weir::queue {

/// Where the next claim of a queue begins. Pure. While an old snapshot is open somewhere, the rows of
/// finished jobs stay at the head of the index, and every claim from the head walks over all of them; so a
/// claim begins where the last one found its first job. Jobs may appear below (ids commit out of order, jobs
/// come back), therefore a claim from the head is made once in a while, and whenever the mark finds too
/// little.
class ClaimMarks {
 public:
  struct Range {
    std::int16_t priority = 0;
    std::int64_t above = 0;  ///< jobs with a greater seq
  };

  /// Nothing: claim from the head.
  [[nodiscard]] std::optional<Range> next(SteadyTime now) const noexcept {
    return mark_ && now < head_due_ ? mark_ : std::nullopt;
  }
  /// After a claim from `range` that found `found` of `wanted` jobs; `first` is the most urgent of them.
  void claimed(const std::optional<Range>& range, std::size_t found, std::size_t wanted, Range first,
               SteadyTime began, SteadyTime ended) noexcept {
    if (!range) head_due_ = ended + std::max<Duration>(kHeadInterval, (ended - began) * kHeadShare);
    if (found > 0 && (!range || found == wanted)) {
      mark_ = Range{first.priority, first.above};
    } else {
      mark_.reset();
    }
  }
  /// Jobs came back: look from the head.
  void forget() noexcept { mark_.reset(); }

  static constexpr Duration kHeadInterval = std::chrono::seconds(1);
  /// The walk over dead rows may take long: it gets at most a twentieth of the time.
  static constexpr int kHeadShare = 20;

 private:
  std::optional<Range> mark_;
  SteadyTime head_due_{};
};

}  // namespace weir::queue
