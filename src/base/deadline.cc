#include "base/deadline.h"

#include <algorithm>
#include <limits>

namespace weir {

Deadline Deadline::after(Duration span) noexcept {
  const SteadyTime now = std::chrono::steady_clock::now();
  // A span such as Duration::max() means "never" and must not wrap into the past.
  if (span >= SteadyTime::max() - now) return never();
  return Deadline(now + span);
}

int Deadline::poll_timeout(SteadyTime now) const noexcept {
  if (is_never()) return -1;
  if (now >= at_) return 0;
  const auto millis = std::chrono::ceil<std::chrono::milliseconds>(at_ - now).count();
  return static_cast<int>(std::min<decltype(millis)>(millis, std::numeric_limits<int>::max()));
}

}  // namespace weir
