#pragma once

#include <algorithm>
#include <cstddef>

#include "base/clock.h"

namespace weir::work {

/// How many items to take in one transaction, by how long they took of late. Pure.
class TakeSize {
 public:
  explicit TakeSize(std::size_t most = kMost) : most_(most), size_(std::min<std::size_t>(most, 10)) {}
  [[nodiscard]] std::size_t next() const noexcept { return size_; }
  void took(std::size_t jobs, Duration span) noexcept {
    if (jobs == 0) return;
    const Duration each = std::max<Duration>(span / static_cast<Duration::rep>(jobs), Duration(1));
    const auto fitting = static_cast<std::size_t>(kAimedAt / each);
    // At most doubled: one quick batch proves little.
    size_ = std::clamp<std::size_t>(std::min(fitting, size_ * 2), 1, most_);
  }

  /// All of it was undone: less of it may go well.
  void failed() noexcept { size_ = std::max<std::size_t>(1, size_ / 2); }

  /// A transaction should be about so long: long enough to pay for its commit, short enough not to hold up
  /// vacuum.
  static constexpr Duration kAimedAt = std::chrono::milliseconds(50);
  static constexpr std::size_t kMost = 1000;

 private:
  std::size_t most_;
  std::size_t size_;
};

}  // namespace weir::work
