#pragma once

#include <atomic>

#include "base/clock.h"

namespace weir {

/// A clock that moves when it is told to: for tests and simulations. Safe to read from any thread.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime wall = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)))
      : start_(wall) {}

  [[nodiscard]] SteadyTime steady() const override { return SteadyTime(Duration(elapsed_.load())); }
  [[nodiscard]] WallTime wall() const override {
    return start_ + std::chrono::duration_cast<std::chrono::microseconds>(Duration(elapsed_.load()));
  }
  void advance(Duration span) { elapsed_ += span.count(); }

 private:
  WallTime start_;
  std::atomic<Duration::rep> elapsed_{0};
};

}  // namespace weir
