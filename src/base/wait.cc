#include "base/wait.h"

#include <array>
#include <cerrno>
#include <cstdint>

#include <poll.h>
#include <sys/eventfd.h>

#include "base/error.h"

namespace weir {

Wakeup::Wakeup() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!fd_.valid()) throw_errno("eventfd");
}

void Wakeup::notify() noexcept {
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, so the reader will wake all the same.
  [[maybe_unused]] const auto written = ::write(fd_.get(), &one, sizeof one);
}

void Wakeup::drain() noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(fd_.get(), &count, sizeof count);
}

WaitEnd wait_fd(int fd, short events, Deadline deadline, const std::stop_token& stop, Wakeup& wakeup) {
  const std::stop_callback wake_on_stop(stop, [&wakeup] { wakeup.notify(); });
  for (;;) {
    std::array<pollfd, 2> fds{{{wakeup.fd(), POLLIN, 0}, {fd, events, 0}}};
    const int count = ::poll(fds.data(), fds.size(), deadline.poll_timeout());
    if (count < 0 && errno != EINTR) throw_errno("poll");
    if (stop.stop_requested()) {
      wakeup.drain();
      return WaitEnd::stopped;
    }
    if (count > 0 && fds[0].revents != 0) {
      wakeup.drain();
      return WaitEnd::woken;
    }
    if (count > 0 && fds[1].revents != 0) return WaitEnd::ready;
    if (deadline.expired()) return WaitEnd::deadline;
  }
}

}  // namespace weir
