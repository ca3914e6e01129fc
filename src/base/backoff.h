#pragma once

#include "base/clock.h"

namespace weir {

struct BackoffPolicy {
  Duration base;        ///< before the second attempt
  Duration cap;         ///< never longer than this
  double factor = 2.0;  ///< from one attempt to the next
  double jitter = 0.2;  ///< the share of the delay that is left to chance, 0 to 1
};

/// The pause after `attempt` (1 = the first one failed). `random` in [0, 1) spreads those who failed
/// together.
Duration backoff_delay(const BackoffPolicy& policy, int attempt, double random) noexcept;

/// A number in [0, 1) from a generator of the calling thread.
double random_unit();

}  // namespace weir
