#include <array>
#include <cerrno>
#include <optional>

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
