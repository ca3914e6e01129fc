#include <array>
#include <cerrno>
#include <optional>

#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/stop_signals.h"

namespace weir {
namespace {

/// Each case runs in a process of its own, which a signal may end. Its exit status tells what became of it.
using ::testing::ExitedWithCode;

constexpr int kAsExpected = 0;
constexpr int kNotAsExpected = 77;

void wait_for_stop(const StopSignals& signals) {
  Wakeup wakeup;
  wait_fd(-1, 0, Deadline::after(std::chrono::seconds(20)), signals.token(), wakeup);
}

void expect_stop(int signal) {
  const StopSignals signals;
  if (signals.received() != 0 || signals.token().stop_requested()) ::_exit(kNotAsExpected);
  ::kill(::getpid(), signal);
  wait_for_stop(signals);
  ::_exit(signals.token().stop_requested() && signals.received() == signal ? kAsExpected : kNotAsExpected);
}

TEST(StopSignalsDeathTest, TheFirstSignalAsksForAStop) {
  EXPECT_EXIT(expect_stop(SIGTERM), ExitedWithCode(kAsExpected), "");
  EXPECT_EXIT(expect_stop(SIGINT), ExitedWithCode(kAsExpected), "");
}

void insist() {
  const StopSignals signals;
  ::kill(::getpid(), SIGINT);
  wait_for_stop(signals);
  // Somebody presses Ctrl-C again and again; in time the process obeys.
  Wakeup wakeup;
  for (int i = 0; i < 2000; ++i) {
    ::kill(::getpid(), SIGINT);
    wait_fd(-1, 0, Deadline::after(std::chrono::milliseconds(10)), {}, wakeup);
  }
  ::_exit(kNotAsExpected);
}

TEST(StopSignalsDeathTest, WhoInsistsEndsTheProcess) {
  EXPECT_EXIT(insist(), ExitedWithCode(static_cast<int>(ExitCode::interrupted)), "");
}

/// Becomes the only process of a terminal, whose keyboard is the answer.
int take_a_terminal() {
  int keyboard = -1;
  int terminal = -1;
  if (::setsid() < 0 || ::openpty(&keyboard, &terminal, nullptr, nullptr, nullptr) != 0 ||
      ::ioctl(terminal, TIOCSCTTY, 0) != 0)
    ::_exit(kNotAsExpected);
  return keyboard;
}

void press_ctrl_c(int keyboard) {
  if (::write(keyboard, "\x03", 1) != 1) ::_exit(kNotAsExpected);
}

void press_twice() {
  const int keyboard = take_a_terminal();
  const StopSignals signals;
  press_ctrl_c(keyboard);
  wait_for_stop(signals);
  if (signals.received() != SIGINT) ::_exit(kNotAsExpected);
  press_ctrl_c(keyboard);
  Wakeup wakeup;
  wait_fd(-1, 0, Deadline::after(std::chrono::seconds(20)), {}, wakeup);
  ::_exit(kNotAsExpected);
}

TEST(StopSignalsDeathTest, ASecondCtrlCEndsTheProcess) {
  EXPECT_EXIT(press_twice(), ExitedWithCode(static_cast<int>(ExitCode::interrupted)), "");
}

void press_once_below_a_wrapper() {
  const int keyboard = take_a_terminal();
  {
    const StopSignals signals(std::chrono::hours(1));
    press_ctrl_c(keyboard);
    wait_for_stop(signals);
    ::kill(::getpid(), SIGINT);
    ::kill(::getpid(), SIGTERM);
    // They have been read when no longer pending; the end of the scope waits for what follows from them.
    for (sigset_t pending{}; ::sigpending(&pending) == 0 &&
                             (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1);) {
    }
  }
  ::_exit(kAsExpected);
}

TEST(StopSignalsDeathTest, WhatAWrapperPassesOnAtOnceIsTheSameWish) {
  EXPECT_EXIT(press_once_below_a_wrapper(), ExitedWithCode(kAsExpected), "");
}

void write_to_a_closed_pipe(bool with_signals) {
  std::optional<StopSignals> signals;
  if (with_signals) {
    signals.emplace();
  } else {
    { const StopSignals over; }
  }
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) ::_exit(kNotAsExpected);
  ::close(ends[0]);
  ::_exit(::write(ends[1], "x", 1) == -1 && errno == EPIPE ? kAsExpected : kNotAsExpected);
}

TEST(StopSignalsDeathTest, AClosedPipeIsAnErrorOnlyWhileItLives) {
  EXPECT_EXIT(write_to_a_closed_pipe(true), ExitedWithCode(kAsExpected), "");
  EXPECT_EXIT(write_to_a_closed_pipe(false), ::testing::KilledBySignal(SIGPIPE), "");
}

void be_killed_afterwards() {
  { const StopSignals over; }
  ::kill(::getpid(), SIGTERM);
  ::_exit(kNotAsExpected);
}

TEST(StopSignalsDeathTest, AfterItsEndSignalsDoWhatTheyDidBefore) {
  EXPECT_EXIT(be_killed_afterwards(), ::testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace weir
