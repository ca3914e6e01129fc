#include "base/stop_signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>

#include "base/error.h"

namespace weir {

StopSignals::StopSignals(Duration same_wish) : same_wish_(same_wish) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &wanted, &mask_before_);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_before_);
  signals_.reset(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) throw_errno("signalfd");
  thread_ = std::jthread([this](const std::stop_token& done) { watch(done); });
}

StopSignals::~StopSignals() {
  thread_.request_stop();
  thread_.join();
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

void StopSignals::watch(const std::stop_token& done) {
  Wakeup wakeup;
  Deadline patience = Deadline::never();
  bool was_pressed = false;
  while (wait_fd(signals_.get(), POLLIN, Deadline::never(), done, wakeup) == WaitEnd::ready) {
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    // Ctrl-C comes from the kernel; what a wrapper passes on is sent by a process.
    const bool pressed = info.ssi_signo == SIGINT && info.ssi_code == SI_KERNEL;
    if (patience.expired() || (pressed && was_pressed)) ::_exit(static_cast<int>(ExitCode::interrupted));
    was_pressed = was_pressed || pressed;
    if (!patience.is_never()) continue;
    patience = Deadline::after(same_wish_);
    received_ = static_cast<int>(info.ssi_signo);
    source_.request_stop();
  }
}

}  // namespace weir
