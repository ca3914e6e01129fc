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

  /// What to be woken for, see weir.wake().
  [[nodiscard]] std::string topic() const { return "stream:" + std::to_string(id); }
};

}  // namespace weir::stream
