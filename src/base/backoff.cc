#include "base/backoff.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace weir {

Duration backoff_delay(const BackoffPolicy& policy, int attempt, double random) noexcept {
  const auto cap = static_cast<double>(policy.cap.count());
  const double growth = std::pow(policy.factor, std::max(attempt, 1) - 1);
  const double full = std::min(static_cast<double>(policy.base.count()) * growth, cap);
  return Duration(static_cast<Duration::rep>(full * (1.0 - policy.jitter * random)));
}

double random_unit() {
  thread_local std::mt19937_64 generator(std::random_device{}());
  return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
}

}  // namespace weir
