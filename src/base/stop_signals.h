#pragma once

#include <atomic>
#include <csignal>
#include <stop_token>
#include <thread>

#include "base/wait.h"

namespace weir {

/// Turns SIGINT, SIGTERM and SIGHUP (the terminal is gone) into a stop request while it lives. A second
/// Ctrl-C on the terminal ends the process at once with 130. So does another signal that a process sent, but
/// only a second later or more: before that it is the same wish, because wrappers signal a process and then
/// its group. Made once, by main, before any other thread, because threads inherit the mask that keeps the
/// signals for it. While it lives SIGPIPE is ignored as well: a closed pipe is an error of write, not the end
/// of the process.
class StopSignals {
 public:
  /// `same_wish`: for so long another signal of a process is the same wish.
  explicit StopSignals(Duration same_wish = std::chrono::seconds(1));
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }
  /// The signal that asked for the stop; 0 as long as none did.
  [[nodiscard]] int received() const noexcept { return received_; }

 private:
  void watch(const std::stop_token& done);

  const Duration same_wish_;
  std::stop_source source_;
  std::atomic<int> received_{0};
  sigset_t mask_before_{};
  struct sigaction pipe_before_ {};
  UniqueFd signals_;
  std::jthread thread_;
};

}  // namespace weir
