#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace weir::load {

// How often whoever reads a source and writes its rows looks up from it.

inline constexpr std::size_t kWriteBytes = std::size_t{256} << 10U;
/// Between looks at the clock and at the stop.
inline constexpr std::uint64_t kRecordsBetweenLooks = 512;
/// Between two reports of the progress.
inline constexpr Duration kTellInterval = std::chrono::milliseconds(100);

}  // namespace weir::load
