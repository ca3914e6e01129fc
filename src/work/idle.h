#pragma once

#include <algorithm>

#include "base/clock.h"

namespace weir::work {

/// What a process does next that found nothing to claim. Pure. models/wakeup.pml: `Worker`.
///
/// Who had work a moment ago looks again a few times before it goes to bed: under a steady load nobody ever
/// sleeps, and producers notify nobody. In bed it looks until every transaction is decided that may not have
/// seen it lie down, at growing distances, and then waits to be woken. A slow look now and then covers
/// whatever the server does to us.
class Idle {
 public:
  struct Options {
    Duration longest;  ///< between two looks of one who sleeps
    bool can_be_woken =
        true;  ///< false behind a transaction pooler: looks, with growing distances, up to `longest`
  };
  enum class Step {
    look_later,  ///< wait for `pause`, then claim
    lie_down,    ///< say that we sleep, then claim
    sleep,       ///< wait for a notification for `pause` at most, then claim
  };
  struct Action {
    Step step;
    Duration pause;
  };

  explicit Idle(Options options) noexcept : options_(options) {}

  void found_work() noexcept { looks_ = 0; }
  /// Who is up has looked often enough: he lies down after the next look in vain.
  void lie_down_next() noexcept { looks_ = kLooksAwake; }
  /// After a claim that left nothing behind: how long to let work gather before the next. Many small claims
  /// would cost the producers, on the same server, more than the work.
  [[nodiscard]] static Duration gather(std::size_t found) noexcept {
    return found < 2 ? Duration::zero() : std::min<Duration>(kLongestGather, kGatherEach * found);
  }
  /// `decided`: asked of the server while lying; nobody who enqueues has missed us.
  [[nodiscard]] Action found_nothing(bool lying, bool decided) noexcept {
    ++looks_;
    if (!options_.can_be_woken)
      return {Step::look_later, std::min(options_.longest, doubling(kFirst, looks_))};
    if (!lying) {
      if (looks_ <= kLooksAwake) return {Step::look_later, doubling(kFirst, looks_)};
      looks_ = 0;
      return {Step::lie_down, Duration::zero()};
    }
    if (!decided) return {Step::look_later, std::min<Duration>(kLongestUndecided, doubling(kFirst, looks_))};
    return {Step::sleep, options_.longest};
  }

  static constexpr Duration kFirst = std::chrono::milliseconds(1);
  static constexpr int kLooksAwake = 4;
  static constexpr Duration kGatherEach = std::chrono::microseconds(200);
  static constexpr Duration kLongestGather = std::chrono::milliseconds(5);
  static constexpr Duration kLongestUndecided = std::chrono::seconds(1);

 private:
  static Duration doubling(Duration first, int times) noexcept {
    return first * (1 << std::min(times - 1, 20));
  }

  Options options_;
  int looks_ = kLooksAwake;  // who starts has had no work
};

}  // namespace weir::work
