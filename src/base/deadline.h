#pragma once

#include "base/clock.h"

namespace weir {

/// The moment after which a wait gives up. A value: it is handed down through calls without being restarted.
class Deadline {
 public:
  static Deadline never() noexcept { return Deadline(SteadyTime::max()); }
  static Deadline after(Duration span) noexcept;

  explicit Deadline(SteadyTime at) noexcept : at_(at) {}

  [[nodiscard]] bool is_never() const noexcept { return at_ == SteadyTime::max(); }
  [[nodiscard]] SteadyTime at() const noexcept { return at_; }
  [[nodiscard]] bool expired(SteadyTime now = std::chrono::steady_clock::now()) const noexcept {
    return now >= at_;
  }
  [[nodiscard]] Deadline sooner(Deadline other) const noexcept { return at_ <= other.at_ ? *this : other; }

  /// For poll(2): -1 for never, else milliseconds rounded up, so that poll never returns early and spins.
  [[nodiscard]] int poll_timeout(SteadyTime now = std::chrono::steady_clock::now()) const noexcept;

 private:
  SteadyTime at_;
};

}  // namespace weir
