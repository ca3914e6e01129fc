#pragma once

#include <string_view>

#include "base/backoff.h"
#include "work/outcome.h"

namespace weir::work {

/// What is done with an item that was tried; weir.settle_jobs() knows the names.
enum class Action { done, cancelled, later, later_uncounted, dead, back };

constexpr std::string_view to_string(Action action) noexcept {
  switch (action) {
    case Action::done: return "done";
    case Action::cancelled: return "cancelled";
    case Action::later: return "later";
    case Action::later_uncounted: return "later_uncounted";
    case Action::dead: return "dead";
    case Action::back: return "back";
  }
  return "dead";
}

/// Whether the item goes on; else it has ended, well or badly.
constexpr bool is_tried_again(Action action) noexcept {
  return action == Action::later || action == Action::later_uncounted || action == Action::back;
}

struct Decision {
  Action action = Action::dead;
  Duration delay = Duration::zero();
  friend bool operator==(const Decision&, const Decision&) = default;
};

/// What becomes of an item after an attempt. Pure. `attempt` is the one that ended; `cancelled`: somebody
/// asked to stop it, which matters unless it was done all the same. Past its deadline an item is not tried
/// again.
inline Decision decide(const Outcome& outcome, int attempt, int max_attempts, bool cancelled, bool overdue,
                       const BackoffPolicy& backoff, double random) noexcept {
  using Kind = Outcome::Kind;
  if (outcome.kind() == Kind::done) return {Action::done};
  if (cancelled) return {Action::cancelled};
  const bool again = attempt < max_attempts && !overdue;
  switch (outcome.kind()) {
    case Kind::failed:
      return again ? Decision{Action::later, backoff_delay(backoff, attempt, random)}
                   : Decision{Action::dead};
    case Kind::retry: return again ? Decision{Action::later, outcome.delay()} : Decision{Action::dead};
    case Kind::snoozed:
      return overdue ? Decision{Action::dead} : Decision{Action::later_uncounted, outcome.delay()};
    case Kind::discarded: return {Action::dead};
    case Kind::returned:
    case Kind::open:
    case Kind::done: break;
  }
  return {Action::back};
}

}  // namespace weir::work
