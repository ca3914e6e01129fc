#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"

namespace weir::queue {

/// How often something took how long, in steps that grow by a quarter at most: from 1 µs to days, in a row of
/// weir.queue_stats as in memory. Counts of several processes are added up step by step.
class Durations {
 public:
  Durations() = default;
  /// As steps() gave them.
  explicit Durations(std::span<const std::int64_t> steps);

  void add(Duration span, std::int64_t times = 1);
  void add(const Durations& more);

  [[nodiscard]] std::int64_t count() const noexcept;
  /// Counts by step; none behind the longest.
  [[nodiscard]] const std::vector<std::int64_t>& steps() const noexcept { return steps_; }
  /// Not less than what `share` of them took, and at most a quarter more; zero where nothing was counted.
  [[nodiscard]] Duration quantile(double share) const noexcept;

 private:
  std::vector<std::int64_t> steps_;
};

}  // namespace weir::queue
