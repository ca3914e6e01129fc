#pragma once

#include <cstdint>

#include "base/clock.h"
#include "work/idle.h"

namespace weir::group {

/// Without a look, whatever --poll says, where one can be woken: so that who sleeps is seen to be alive.
constexpr Duration kLongestSleep = std::chrono::seconds(30);
/// Who listens and has not looked for so long is frozen: sweeps hang up on him.
constexpr Duration kFrozenListener = std::chrono::minutes(2);
static_assert(kFrozenListener >= 4 * kLongestSleep, "who lives looks far more often");

/// What a consumer's poll loop does after a look that has begun nothing. Pure.
///
/// All who sleep are told of what comes, and one of them has it. Who was told in vain stays up for a while,
/// longer each time, before he lies down again: under a steady load there are always some who are not needed,
/// and while they sleep every commit notifies them.
class Rest {
 public:
  struct Options {
    Duration poll;
    bool may_sleep = true;  ///< false where nobody can wake it
  };
  struct Look {
    bool lying = false;
    bool decided = false;     ///< while lying: nobody who has something for us has missed us
    bool saw_all = true;      ///< it came to the end of what is there
    bool found_some = false;  ///< that are in flight here, or left alone for a while
    std::int64_t begun = 0;   ///< groups of which a batch was begun, since the start
    double random = 0;        ///< in [0, 1)
  };
  using Step = work::Idle::Step;
  using Action = work::Idle::Action;

  explicit Rest(Options options) noexcept : options_(options), idle_({.longest = options.poll}) {}

  /// A look has found groups to try.
  void found_work() noexcept;
  /// It was told while it slept, and looks now.
  void woken() noexcept;
  /// A pause to sleep may be longer than kLongestSleep.
  [[nodiscard]] Action found_nothing(const Look& look) noexcept;

  /// Before more is looked for, where some was found: it is being taken.
  static constexpr Duration kBusyPause = std::chrono::milliseconds(5);

 private:
  [[nodiscard]] Duration at_most_poll(Duration pause) const noexcept;

  const Options options_;
  work::Idle idle_;
  bool had_work_ = false;
  bool told_ = false;  ///< and has not yet begun anything, or looked at all in vain
  std::int64_t begun_ = 0;
  int looks_ = 0;      ///< in vain, since it found groups to try
  int cut_looks_ = 0;  ///< of those, that did not see all, since it was told
  int in_vain_ = 0;    ///< how often it was told, since it began something
};

}  // namespace weir::group
