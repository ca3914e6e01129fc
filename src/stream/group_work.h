#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "stream/chunk.h"
#include "stream/lane_part.h"

namespace weir::stream {

/// An event that a group failed on, kept as a copy (weir.stream_letter).
struct Letter {
  std::int64_t id = 0;
  int failed = 0;  ///< how often
};
using Letters = std::vector<Letter>;

/// Events that a group has before it and that are read together. Each has a number that tells it from the
/// others: a chunk's events their own, letters theirs, for a group may have failed on one event twice.
struct GroupWork {
  std::variant<Chunk, Letters> events;
  std::optional<LanePart> lane{};  ///< of a chunk: only what is before this lane, in order

  /// As many as were counted: some may have been deleted since, and others be of other lanes.
  [[nodiscard]] std::int64_t size() const noexcept;
  /// How often the event of that number failed before.
  [[nodiscard]] int failed(std::int64_t number) const noexcept;
};

std::vector<std::int64_t> ids_of(const Letters& letters);

}  // namespace weir::stream
