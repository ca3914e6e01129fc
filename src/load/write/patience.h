#pragma once

#include "base/backoff.h"

namespace weir::load {

/// How long a writer waits before it tries for the target again, after `attempt` attempts: short at first,
/// since most locks are.
inline Duration retry_pause(int attempt) {
  return backoff_delay({std::chrono::milliseconds(50), std::chrono::seconds(5), 2.0, 1.0}, attempt,
                       random_unit());
}

}  // namespace weir::load
