#include "stream/retention.h"

#include <algorithm>
#include <chrono>

namespace weir::stream {
namespace {

WallTime later(WallTime time, Duration span) {
  return time + std::chrono::duration_cast<std::chrono::microseconds>(span);
}

bool has_bounds(const Partition& partition) noexcept {
  return !partition.is_default && partition.span.from != WallTime::min() &&
         partition.span.to != WallTime::max();
}

}  // namespace

std::vector<Expired> expired(std::vector<Partition> partitions, WallTime now, const Retention& retention) {
  std::sort(partitions.begin(), partitions.end(),
            [](const Partition& a, const Partition& b) { return a.span < b.span; });
  std::int64_t bytes = 0;
  for (const Partition& partition : partitions) bytes += partition.bytes;
  std::vector<Expired> expired;
  for (Partition& partition : partitions) {
    if (!has_bounds(partition) || partition.span.to > now) continue;
    const bool too_old = retention.time && later(partition.span.to, *retention.time) <= now;
    const bool too_large = retention.bytes && bytes > *retention.bytes;
    if (!too_old && !too_large) continue;
    bytes -= partition.bytes;
    const Duration kept = (too_old ? *retention.time : Duration::zero()) + retention.hold;
    const bool in_spite = later(partition.span.to, kept) <= now;
    expired.push_back({std::move(partition), in_spite});
  }
  return expired;
}

}  // namespace weir::stream
