#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace weir {

/// Counts durations in buckets that double, from 1 µs to over an hour. Any thread may record; reading is not
/// a snapshot of one instant, which no user of it needs.
class Histogram {
 public:
  void record(Duration span) noexcept;

  [[nodiscard]] std::uint64_t count() const noexcept;
  [[nodiscard]] Duration total() const noexcept { return Duration(total_.load(std::memory_order_relaxed)); }
  [[nodiscard]] Duration max() const noexcept { return Duration(max_.load(std::memory_order_relaxed)); }
  /// An upper bound that is at most twice the true value, or max() for values beyond the last bucket but one;
  /// zero when nothing was recorded.
  [[nodiscard]] Duration quantile(double share) const noexcept;

  static constexpr std::size_t kBuckets = 33;
  /// Values in bucket `index` are at most this; the last one has no bound.
  static constexpr Duration upper_bound(std::size_t index) noexcept {
    return std::chrono::microseconds(std::uint64_t{1} << index);
  }
  [[nodiscard]] std::uint64_t bucket(std::size_t index) const noexcept {
    return buckets_.at(index).load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<Duration::rep> total_{0};
  std::atomic<Duration::rep> max_{0};
};

}  // namespace weir
