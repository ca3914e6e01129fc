#pragma once

#include <compare>
#include <cstdint>
#include <optional>

#include "stream/horizon.h"

namespace weir::stream {

/// Where an event stands in its chunk: a lane has them in the order of these.
struct Place {
  Xid xid = 0;
  std::int64_t event = 0;

  friend auto operator<=>(const Place&, const Place&) = default;
};

/// Which of a chunk's events are before a lane: those whose key is of it, behind what it has done.
struct LanePart {
  std::int32_t lane = 0;
  std::int32_t lanes = 1;
  std::optional<Place> after{};
  /// An event that it failed on, and how often.
  std::optional<std::int64_t> failed_event{};
  int failed = 0;
};

}  // namespace weir::stream
