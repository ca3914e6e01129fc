#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>

#include "base/clock.h"

namespace weir::work {

/// How much to hold at once. Pure. Enough that no slot runs dry while more is fetched, little enough that
/// others get their share and that a drain is short: about kAhead of work, and one item a slot where items
/// are slow.
struct Appetite {
  std::size_t slots = 1;
  std::size_t most = 2000;  ///< items in flight, whatever their pace

  static constexpr Duration kAhead = std::chrono::milliseconds(200);

  [[nodiscard]] std::size_t in_flight(std::optional<Duration> pace) const noexcept {
    if (!pace) return std::min(most, slots * 8);
    const Duration each = std::max(*pace, Duration(1));
    const auto fitting = static_cast<std::size_t>(kAhead / each);
    return std::clamp(slots * std::max<std::size_t>(fitting, 1), slots, std::max(most, slots));
  }
  /// What to ask for now; 0: wait until more is settled, because small claims cost as much as large ones.
  [[nodiscard]] std::size_t wanted(std::optional<Duration> pace, std::size_t held) const noexcept {
    const std::size_t target = in_flight(pace);
    if (held >= target) return 0;
    const std::size_t free = target - held;
    return held == 0 || free >= std::max<std::size_t>(target / 4, 1) ? free : 0;
  }
  /// Items of a claim that one slot does alone, one after the other: no more than it would have ahead, so
  /// that the others get claims of their own.
  [[nodiscard]] std::size_t of_one_slot(std::optional<Duration> pace) const noexcept {
    return std::max<std::size_t>(in_flight(pace) / slots, 1);
  }
  /// Items of one portion, of a claim with `items`: all slots get some, in turns, so that none ends long
  /// after the rest.
  [[nodiscard]] std::size_t portion(std::size_t items) const noexcept {
    return std::clamp<std::size_t>(items / (slots * 2), 1, 500);
  }
};

}  // namespace weir::work
