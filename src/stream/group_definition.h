#pragma once

#include <cstdint>
#include <string>

#include "base/backoff.h"

namespace weir::stream {

/// A row of weir.stream_group: who has each event of a stream once.
struct GroupDefinition {
  std::int32_t id = 0;
  std::string name;
  int max_attempts = 25;
  BackoffPolicy backoff{};
  std::int32_t lanes = 0;  ///< that keep its events in order by key; 0: nothing does
  std::int32_t stream_id = 0;

  [[nodiscard]] bool is_ordered() const noexcept { return lanes > 0; }
  /// What to be woken for, see weir.wake().
  [[nodiscard]] std::string topic() const { return "stream:" + std::to_string(id); }
};

}  // namespace weir::stream
