#include "group/rest.h"

#include <algorithm>
#include <utility>

#include "base/backoff.h"

namespace weir::group {
namespace {

constexpr BackoffPolicy kLooks{.base = std::chrono::milliseconds(5), .cap = std::chrono::hours(1)};
constexpr BackoffPolicy kToldInVain{.base = std::chrono::milliseconds(10),
                                    .cap = std::chrono::milliseconds(250)};

}  // namespace

Duration Rest::at_most_poll(Duration pause) const noexcept { return std::min(options_.poll, pause); }

void Rest::found_work() noexcept {
  had_work_ = true;
  looks_ = 0;
  cut_looks_ = 0;
  idle_.found_work();
}

void Rest::woken() noexcept {
  told_ = true;
  cut_looks_ = 0;
}

Rest::Action Rest::found_nothing(const Look& look) noexcept {
  if (std::exchange(begun_, look.begun) != look.begun) {
    told_ = false;
    in_vain_ = 0;
  }
  const Duration longer = at_most_poll(backoff_delay(kLooks, ++looks_, look.random));
  if (!options_.may_sleep) return {Step::look_later, longer};
  // Nothing was found among those that it has looked at: the next look goes on behind them. What it was told
  // of may be there, so that is soon.
  if (!look.saw_all)
    return {Step::look_later, at_most_poll(backoff_delay(kLooks, ++cut_looks_, look.random))};
  if (std::exchange(told_, false) && !look.lying) {
    idle_.lie_down_next();
    return {Step::look_later, at_most_poll(backoff_delay(kToldInVain, ++in_vain_, look.random))};
  }
  const Action next = idle_.found_nothing(look.lying, look.decided);
  switch (next.step) {
    case Step::lie_down: return next;
    case Step::look_later:
      return {Step::look_later, at_most_poll(std::max<Duration>(kBusyPause, next.pause))};
    case Step::sleep: break;
  }
  // Of what becomes ready by the clock alone nobody tells: what was tried before, here, and groups that are
  // left alone for a while.
  return {Step::sleep, had_work_ || look.found_some ? longer : options_.poll};
}

}  // namespace weir::group
