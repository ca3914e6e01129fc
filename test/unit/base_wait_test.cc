#include <array>
#include <atomic>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/test_signal.h"
#include "base/thread_owner.h"
#include "base/wait.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  void fill() const { EXPECT_EQ(::write(write.get(), "x", 1), 1); }
};

Deadline soon() { return Deadline::after(30s); }
const Deadline kPast{SteadyTime()};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(WaitFd, IsReadyWhenTheDescriptorIs) {
  const Pipe pipe;
  Wakeup wakeup;
  EXPECT_EQ(wait_fd(pipe.write.get(), POLLOUT, soon(), {}, wakeup), WaitEnd::ready);
  pipe.fill();
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, soon(), {}, wakeup), WaitEnd::ready);
}

TEST(WaitFd, IsReadyWhenTheDescriptorIsBroken) {
  Pipe pipe;
  Wakeup wakeup;
  pipe.write.reset();
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, soon(), {}, wakeup), WaitEnd::ready) << "hung up";
  const int closed = pipe.read.release();
  ::close(closed);
  EXPECT_EQ(wait_fd(closed, POLLIN, soon(), {}, wakeup), WaitEnd::ready) << "no descriptor at all";
}

TEST(WaitFd, EndsAtItsDeadlineAndLooksOnceInAnyCase) {
  const Pipe pipe;
  Wakeup wakeup;
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, kPast, {}, wakeup), WaitEnd::deadline);
  const Deadline deadline = Deadline::after(3ms);
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, deadline, {}, wakeup), WaitEnd::deadline);
  EXPECT_TRUE(deadline.expired());
  pipe.fill();
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, kPast, {}, wakeup), WaitEnd::ready);
}

TEST(WaitFd, WithoutADescriptorWaitsForTheRest) {
  Wakeup wakeup;
  EXPECT_EQ(wait_fd(-1, 0, Deadline::after(1ms), {}, wakeup), WaitEnd::deadline);
  wakeup.notify();
  EXPECT_EQ(wait_fd(-1, 0, soon(), {}, wakeup), WaitEnd::woken);
}

TEST(WaitFd, StopWinsOverEverything) {
  const Pipe pipe;
  Wakeup wakeup;
  std::stop_source stop;
  pipe.fill();
  wakeup.notify();
  stop.request_stop();
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, kPast, stop.get_token(), wakeup), WaitEnd::stopped);
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, kPast, {}, wakeup), WaitEnd::ready) << "the wakeup is as new";
}

TEST(WaitFd, AWakeupWinsOverAReadyDescriptorAndCountsOnce) {
  const Pipe pipe;
  Wakeup wakeup;
  pipe.fill();
  wakeup.notify();
  wakeup.notify();
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, soon(), {}, wakeup), WaitEnd::woken);
  EXPECT_EQ(wait_fd(pipe.read.get(), POLLIN, soon(), {}, wakeup), WaitEnd::ready);
}

TEST(WaitFd, AnotherThreadStopsAWaitWithoutDeadline) {
  Wakeup wakeup;
  std::stop_source stop;
  std::jthread other([&stop] { stop.request_stop(); });
  EXPECT_EQ(wait_fd(-1, 0, Deadline::never(), stop.get_token(), wakeup), WaitEnd::stopped);
}

TEST(WaitFd, AnotherThreadWakesAWaitWithoutDeadline) {
  Wakeup wakeup;
  std::jthread other([&wakeup] { wakeup.notify(); });
  EXPECT_EQ(wait_fd(-1, 0, Deadline::never(), {}, wakeup), WaitEnd::woken);
}

TEST(WaitFd, SignalsNeitherEndNorShortenAWait) {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = [](int) {};  // without SA_RESTART: poll ends with EINTR
  ::sigaction(SIGUSR1, &ignore, &before);
  {
    Wakeup wakeup;
    const Deadline deadline = Deadline::after(50ms);
    std::jthread sender([target = ::pthread_self()](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        ::pthread_kill(target, SIGUSR1);
        std::this_thread::yield();
      }
    });
    EXPECT_EQ(wait_fd(-1, 0, deadline, {}, wakeup), WaitEnd::deadline);
    EXPECT_TRUE(deadline.expired());
  }
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(Wakeup, MaySoundMoreOftenThanAnybodyListens) {
  Wakeup wakeup;
  for (int i = 0; i < 100000; ++i) wakeup.notify();
  wakeup.drain();
  wakeup.drain();
  EXPECT_EQ(wait_fd(-1, 0, kPast, {}, wakeup), WaitEnd::deadline);
}

TEST(UniqueFd, ClosesWhatItOwnsAndOnlyThat) {
  Pipe pipe;
  const int read = pipe.read.get();
  const int write = pipe.write.get();
  UniqueFd moved = std::move(pipe.read);
  EXPECT_TRUE(is_open(read));
  moved = std::move(pipe.write);
  EXPECT_FALSE(is_open(read)) << "what it had is closed";
  EXPECT_TRUE(is_open(write));
  UniqueFd& same = moved;
  moved = std::move(same);
  EXPECT_TRUE(is_open(write)) << "moved to itself";
  EXPECT_EQ(moved.release(), write);
  moved.reset();
  EXPECT_TRUE(is_open(write)) << "given away";
  { const UniqueFd owner(write); }
  EXPECT_FALSE(is_open(write));
}

TEST(TestSignal, KeepsNothingUntilItIsEnabled) {
  TestSignal<int> signal;
  signal.emit(1);
  signal.enable();
  EXPECT_EQ(signal.wait(kPast), std::nullopt);
  signal.emit(2);
  signal.emit(3);
  EXPECT_EQ(signal.wait(kPast), 2);
  EXPECT_EQ(signal.wait(Deadline::never()), 3);
  EXPECT_EQ(signal.wait(Deadline::after(1ms)), std::nullopt);
}

TEST(TestSignal, CarriesAValueToAWaitingThread) {
  TestSignal<std::unique_ptr<int>> signal;
  signal.enable();
  std::jthread emitter([&signal] { signal.emit(std::make_unique<int>(7)); });
  const auto value = signal.wait(Deadline::never());
  ASSERT_TRUE(value.has_value());
  EXPECT_EQ(**value, 7);
}

#ifdef WEIR_DEBUG_CHECKS
TEST(ThreadOwner, MayBeUsedByWhoMadeItAndByWhoGotIt) {
  ThreadOwner owner;
  owner.check("a thing");  // the wrong thread would end the process
  bool used = false;
  std::jthread([&] {
    owner.rebind();
    owner.check("a thing");
    used = true;
  }).join();
  EXPECT_TRUE(used);
}

TEST(ThreadOwnerDeathTest, AnotherThreadStopsTheProcess) {
  EXPECT_DEATH(
      {
        const ThreadOwner owner;
        std::jthread([&owner] { owner.check("a thing"); }).join();
      },
      "a thing belongs to thread [0-9a-f]+ and was used from thread [0-9a-f]+");
}
#endif

}  // namespace
}  // namespace weir
