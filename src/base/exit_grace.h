#pragma once

#include "base/clock.h"

namespace weir {

/// Held by a detached thread whose last act still matters when the process goes, such as a cancellation on
/// its way to the server. exit() waits until every one is gone, but no longer than kLongest in all: who asked
/// to stop does not wait for a network.
class ExitGrace {
 public:
  static constexpr Duration kLongest = std::chrono::milliseconds(100);

  ExitGrace();
  ~ExitGrace();
  ExitGrace(const ExitGrace&) = delete;
  ExitGrace& operator=(const ExitGrace&) = delete;

  /// For tests, instead of kLongest.
  static void set_longest(Duration span) noexcept;
};

}  // namespace weir
