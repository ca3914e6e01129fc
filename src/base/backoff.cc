#include "base/backoff.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace weir {

Duration backoff_delay(const BackoffPolicy& policy, int attempt, double random) noexcept {
  const auto cap = static_cast<double>(policy.cap.count());
  // Never infinite: no base times infinity is no number.
  const double growth =
      std::min(std::pow(policy.factor, std::max(attempt, 1) - 1), std::numeric_limits<double>::max());
  const double full = std::min(static_cast<double>(policy.base.count()) * growth, cap);
  const double delay = full * (1.0 - policy.jitter * random);
  // As a double the cap may be rounded up, even beyond the range of Duration.
  if (delay >= cap) return policy.cap;
  return Duration(static_cast<Duration::rep>(delay));
}

double random_unit() {
  thread_local std::mt19937_64 generator(std::random_device{}());
  return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
}

}  // namespace weir
