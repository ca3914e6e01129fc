#include <cstdlib>
#include <memory>
#include <thread>

#include <poll.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/exit_grace.h"
#include "base/wait.h"

namespace weir {
namespace {

Wakeup& exiting() {
  static auto* const wakeup = new Wakeup;
  return *wakeup;
}

/// A thread that begins its last act only when the process is already going.
void leave_with_an_act() {
  ExitGrace::set_longest(std::chrono::seconds(60));  // the machine may be busy
  std::thread([grace = std::make_unique<ExitGrace>()] {
    Wakeup unused;
    wait_fd(exiting().fd(), POLLIN, Deadline::never(), {}, unused);
    std::this_thread::yield();
    constexpr std::string_view kDone = "done";
    if (::write(STDERR_FILENO, kDone.data(), kDone.size()) < 0) std::abort();
  }).detach();
  std::atexit([] { exiting().notify(); });  // runs before what ExitGrace registered
  std::exit(0);
}

TEST(ExitGraceDeathTest, ALastActIsFinishedBeforeTheProcessGoes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(leave_with_an_act(), testing::ExitedWithCode(0), "done");
}

void leave_with_one_that_hangs() {
  std::thread([grace = std::make_unique<ExitGrace>()] {
    Wakeup unused;
    wait_fd(-1, POLLIN, Deadline::never(), {}, unused);
  }).detach();
  std::exit(0);
}

TEST(ExitGraceDeathTest, OneThatHangsDoesNotKeepTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(leave_with_one_that_hangs(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace weir
