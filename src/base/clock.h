#pragma once

#include <chrono>

namespace weir {

using Duration = std::chrono::nanoseconds;
/// Time that only moves forward: deadlines, leases as their owner sees them.
using SteadyTime = std::chrono::steady_clock::time_point;
/// Time of day with PostgreSQL's resolution: schedules, records.
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

constexpr double to_seconds(Duration span) noexcept { return std::chrono::duration<double>(span).count(); }
constexpr Duration from_seconds(double seconds) noexcept {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

/// For figures that are only shown, and for waits that no test shortens; what decides has a Clock.
inline SteadyTime steady_now() { return std::chrono::steady_clock::now(); }

/// The source of `now`. Injected, so that a test of an hour's behaviour takes no time.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  [[nodiscard]] virtual SteadyTime steady() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;

  /// The machine's clock; lives as long as the process.
  static const Clock& system() noexcept;
};

}  // namespace weir
