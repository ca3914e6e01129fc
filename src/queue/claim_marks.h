#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "base/clock.h"

namespace weir::queue {

/// Where the claims of a queue begin. Pure. While an old snapshot is open somewhere, the rows of finished
/// jobs stay at the head of the index, and every claim from the head walks over all of them; so claims begin
/// where the last one of their priority found its first job. Jobs may appear below (ids commit out of order,
/// jobs come back) and in other priorities, therefore a claim from the head is made once in a while, whenever
/// the marks find nothing and it is cheap, and before anybody goes to sleep.
class ClaimMarks {
 public:
  /// What a claim looks at: what comes behind (priority, above), up to last_priority.
  struct Range {
    std::int16_t priority = std::numeric_limits<std::int16_t>::min();
    std::int64_t above = std::numeric_limits<std::int64_t>::min();
    std::int16_t last_priority = std::numeric_limits<std::int16_t>::max();
  };
  /// From the very head, all priorities.
  static constexpr Range whole() noexcept { return {}; }

  [[nodiscard]] bool head_is_due(SteadyTime now) const noexcept {
    return marks_.empty() || marks_.size() > kMostPriorities || now >= head_due_;
  }
  /// Whether the head is worth a look when no mark found anything.
  [[nodiscard]] bool head_is_cheap() const noexcept { return head_took_ < kCheap; }
  /// The most urgent first.
  [[nodiscard]] std::vector<Range> marks() const {
    std::vector<Range> ranges;
    ranges.reserve(marks_.size());
    for (const auto& [priority, above] : marks_) ranges.push_back({priority, above, priority});
    return ranges;
  }

  void head_claimed(SteadyTime began, SteadyTime ended) noexcept {
    head_took_ = ended - began;
    head_due_ = ended + std::max<Duration>(kHeadInterval, head_took_ * kHeadShare);
  }
  /// A claim found jobs of this priority, from `first` to `last`. Where it found all it wanted there may be
  /// more of them behind the first that others hold; else the next ones come behind the last.
  void found(std::int16_t priority, std::int64_t first, std::int64_t last, bool all_wanted) {
    marks_[priority] = all_wanted ? first - 1 : last;
  }
  void forget() noexcept { marks_.clear(); }

  static constexpr Duration kHeadInterval = std::chrono::seconds(1);
  /// The walk over dead rows gets at most a twentieth of the time.
  static constexpr int kHeadShare = 20;
  static constexpr Duration kCheap = std::chrono::milliseconds(3);
  static constexpr std::size_t kMostPriorities = 8;

 private:
  std::map<std::int16_t, std::int64_t> marks_;
  SteadyTime head_due_{};
  Duration head_took_{};
};

}  // namespace weir::queue
