#pragma once

#include <stop_token>

#include "base/deadline.h"
#include "base/unique_fd.h"

namespace weir {

/// Lets any thread end another thread's wait: an eventfd that stays readable until it is drained.
class Wakeup {
 public:
  Wakeup();
  void notify() noexcept;
  void drain() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

enum class WaitEnd {
  ready,     ///< the descriptor is readable, writable or broken, as asked
  deadline,  ///< the deadline passed first
  stopped,   ///< stop was requested
  woken,     ///< somebody called Wakeup::notify
};

/// The one place where Weir's threads block on I/O: until `fd` has one of `events` (POLLIN, POLLOUT), the
/// deadline passes, or stop is requested. Stop wins over readiness, so that a busy descriptor cannot postpone
/// it. `wakeup` belongs to the waiting thread; a stop request is delivered through it. An fd of -1 waits for
/// the rest alone.
WaitEnd wait_fd(int fd, short events, Deadline deadline, const std::stop_token& stop, Wakeup& wakeup);

}  // namespace weir
