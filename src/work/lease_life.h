#pragma once

#include <algorithm>

#include "base/clock.h"

namespace weir::work {

/// What a process may believe about its own lease, by its own clock. The server counts from when it carried a
/// renewal out; we count from when we asked, so we give up before anybody may take over. Pure.
/// models/lease_time.pml: `Process`.
class LeaseLife {
 public:
  LeaseLife(Duration lease, SteadyTime asked_at) noexcept : lease_(lease), held_since_(asked_at) {}

  void renewed(SteadyTime asked_at) noexcept { held_since_ = asked_at; }
  [[nodiscard]] SteadyTime renew_at() const noexcept { return held_since_ + lease_ / 3; }
  /// From here on our own work must have stopped.
  [[nodiscard]] SteadyTime give_up_at() const noexcept { return held_since_ + lease_ * 2 / 3; }
  [[nodiscard]] bool is_lost(SteadyTime now) const noexcept { return now >= give_up_at(); }
  /// How long to wait after a renewal that failed: no backoff may sleep through the loss.
  [[nodiscard]] Duration retry_in(Duration backoff, SteadyTime now) const noexcept {
    return std::clamp(give_up_at() - now, Duration::zero(), backoff);
  }

 private:
  Duration lease_;
  SteadyTime held_since_;
};

}  // namespace weir::work
