#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "stream/partition_plan.h"

namespace weir::stream {

struct Partition {
  std::string name;
  Span span;
  std::int64_t bytes = 0;
  bool is_default = false;
  bool detaching = false;  ///< somebody began to detach it, and did not end
  bool sealed = false;     ///< takes no events any more
};

/// How long a stream is kept.
struct Retention {
  std::optional<Duration> time;
  std::optional<std::int64_t> bytes;
  /// For how much longer a group that has not had the events may hold them; then it loses them.
  Duration hold = std::chrono::hours(24 * 7);
};

struct Expired {
  Partition partition;
  bool in_spite_of_groups = false;

  friend bool operator==(const Expired& a, const Expired& b) {
    return a.partition.name == b.partition.name && a.in_spite_of_groups == b.in_spite_of_groups;
  }
};

/// The partitions that are past their time, or that make the stream too large, the oldest first. Never one
/// whose time is not over, and never one without bounds. Pure.
std::vector<Expired> expired(std::vector<Partition> partitions, WallTime now, const Retention& retention);

}  // namespace weir::stream
