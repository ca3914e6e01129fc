#include "base/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace weir {

void Histogram::record(Duration span) noexcept {
  const auto nanos = std::max<Duration::rep>(span.count(), 0);
  const auto micros = static_cast<std::uint64_t>(nanos / 1000 + (nanos % 1000 == 0 ? 0 : 1));
  const std::size_t index = micros <= 1 ? 0 : static_cast<std::size_t>(std::bit_width(micros - 1));
  buckets_.at(std::min(index, kBuckets - 1)).fetch_add(1, std::memory_order_relaxed);
  total_.fetch_add(nanos, std::memory_order_relaxed);
  Duration::rep seen = max_.load(std::memory_order_relaxed);
  while (seen < nanos && !max_.compare_exchange_weak(seen, nanos, std::memory_order_relaxed)) {
  }
}

std::uint64_t Histogram::count() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& bucket : buckets_) sum += bucket.load(std::memory_order_relaxed);
  return sum;
}

Duration Histogram::quantile(double share) const noexcept {
  const std::uint64_t all = count();
  if (all == 0) return Duration::zero();
  const auto rank =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(all))));
  std::uint64_t sum = 0;
  for (std::size_t index = 0; index + 1 < kBuckets; ++index) {
    sum += bucket(index);
    if (sum >= rank) return std::min(upper_bound(index), max());
  }
  return max();
}

}  // namespace weir
