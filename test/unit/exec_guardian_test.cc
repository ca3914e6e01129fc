// What becomes of programs when the process that started them is killed. That process is a fork of the test.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <latch>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/log.h"
#include "exec/child.h"
#include "exec/conversation.h"
#include "exec/process.h"
#include "exec/spawn.h"
#include "support/commands.h"
#include "support/processes.h"
#include "support/waiting.h"

namespace weir::exec {
namespace {

using namespace std::chrono_literals;
using test::shell;
using test::soon;
namespace fs = std::filesystem;

struct Channel {
  Channel() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
    read = UniqueFd(ends[0]);
    write = UniqueFd(ends[1]);
  }
  UniqueFd read;
  UniqueFd write;
};

/// A process that starts programs, and is killed or ends in good order.
class Owner {
 public:
  /// `life` runs in that process, which ends with it.
  explicit Owner(const std::function<void(const Owner&)>& life) {
    pid_ = test::in_process([&] {
      up_.read.reset();
      down_.write.reset();
      life(*this);
      return 0;
    });
    up_.write.reset();
    down_.read.reset();
  }
  ~Owner() {
    if (pid_ != 0) kill();
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;

  // By the owner.
  void tell(int number) const {
    if (::write(up_.write.get(), &number, sizeof number) != sizeof number) throw_errno("write");
  }
  /// Until it is killed or let go.
  void stay() const {
    char byte = 0;
    while (::read(down_.read.get(), &byte, 1) < 0 && errno == EINTR) continue;
  }

  // By the test.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// What it told next; -1 when it ended instead.
  [[nodiscard]] int hear() const {
    int number = 0;
    return ::read(up_.read.get(), &number, sizeof number) == sizeof number ? number : -1;
  }
  void kill() {
    ::kill(pid_, SIGKILL);
    EXPECT_EQ(test::status_of(std::exchange(pid_, 0)), 128 + SIGKILL);
  }
  int let_go() {
    down_.write.reset();
    return test::status_of(std::exchange(pid_, 0));
  }

 private:
  Channel up_;
  Channel down_;
  pid_t pid_ = 0;
};

constexpr const char* kWithChild = "sleep 1000 & echo $!; wait";

/// The first line of what it writes.
int number_of(Conversation& program) {
  std::string text;
  std::array<char, 64> room;
  for (;;) {
    text += program.read(Conversation::Stream::out, room);
    if (text.find('\n') != std::string::npos || !program.is_open(Conversation::Stream::out)) break;
    if (program.wait(false, soon(), {}) != WaitEnd::ready) break;
  }
  return std::stoi(text);
}

void expect_end(const Process& process) {
  EXPECT_EQ(process.wait_end(soon(), {}), WaitEnd::ready) << test::describe_process(process.pid());
  process.signal(SIGKILL);
}

std::string text_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// Of a process that adopts what its children leave.
std::vector<pid_t> guardians_of(pid_t parent) {
  std::vector<pid_t> found;
  for (const pid_t child : test::children_of(parent))
    if (text_of("/proc/" + std::to_string(child) + "/comm") == "weir-guardian\n") found.push_back(child);
  return found;
}

/// A child of ours with that very number, which leads a group as the one before it did. Negative, with errno,
/// where that is not to be had.
pid_t make_process_with(pid_t number) {
  clone_args wanted{};
  wanted.exit_signal = SIGCHLD;
  wanted.set_tid = reinterpret_cast<std::uintptr_t>(&number);
  wanted.set_tid_size = 1;
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &wanted, sizeof wanted));
  if (pid == 0) {
    for (;;) ::syscall(SYS_ppoll, nullptr, 0UL, nullptr, nullptr, 0UL);
  }
  if (pid > 0) ::setpgid(pid, pid);
  return pid;
}

TEST(ExecGuardian, WhatAProgramHasStartedDiesWithUs) {
  for (const bool dies_with_thread : {true, false}) {
    SCOPED_TRACE(dies_with_thread);
    Owner owner([&](const Owner& self) {
      Command command = shell(kWithChild);
      command.dies_with_thread = dies_with_thread;
      Conversation program(command);
      self.tell(program.pid());
      self.tell(number_of(program));
      self.stay();
    });
    const auto program = Process::find(owner.hear());
    const auto child = Process::find(owner.hear());
    ASSERT_TRUE(program && child);
    owner.kill();
    expect_end(*program);
    expect_end(*child);
  }
}

TEST(ExecGuardian, AlsoWhenTheProgramItselfHasEnded) {
  Owner owner([](const Owner& self) {
    Conversation program(shell("sleep 1000 & echo $!"));
    const int child = number_of(program);
    while (!program.ended()) program.wait(false, soon(), {});
    self.tell(child);
    self.stay();
  });
  const auto child = Process::find(owner.hear());
  ASSERT_TRUE(child);
  owner.kill();
  expect_end(*child);
}

TEST(ExecGuardian, WhoGetsTheNumberOfAProgramThatEndedIsSpared) {
  Owner owner([](const Owner& self) {
    Conversation ended(shell("exit 0"));
    Conversation running(shell(kWithChild));
    const int child = number_of(running);
    ended.end();
    self.tell(ended.pid());
    self.tell(child);
    self.stay();
  });
  const pid_t number = owner.hear();
  const auto child = Process::find(owner.hear());
  ASSERT_TRUE(number > 1 && child);
  const pid_t heir = make_process_with(number);
  if (heir < 0) GTEST_SKIP() << "no process with a chosen number: " << std::strerror(errno);
  owner.kill();
  // It goes through its places in order, and the heir's number was in one before this.
  expect_end(*child);
  ::kill(heir, SIGTERM);
  EXPECT_EQ(test::status_of(heir), 128 + SIGTERM) << "and not SIGKILL, which would have come sooner";
}

TEST(ExecGuardian, ThereIsOneWhichHoldsNothingAndEndsWithUs) {
  Owner owner([](const Owner& self) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const Conversation one(shell("sleep 1000"));
    const Conversation two(shell("sleep 1000"));
    self.tell(0);
    self.stay();
  });
  ASSERT_EQ(owner.hear(), 0);
  const std::vector<pid_t> guardians = guardians_of(owner.pid());
  ASSERT_EQ(guardians.size(), 1U);
  const auto guardian = Process::find(guardians.front());
  ASSERT_TRUE(guardian);
  const std::string folder = "/proc/" + std::to_string(guardian->pid());
  std::vector<std::string> open;
  for (const auto& fd : fs::directory_iterator(folder + "/fd")) open.push_back(fd.path().filename());
  EXPECT_EQ(open, std::vector<std::string>{"0"});
  EXPECT_NE(::getsid(guardian->pid()), ::getsid(owner.pid()));
  EXPECT_NE(::getpgid(guardian->pid()), ::getpgid(owner.pid()));
  EXPECT_EQ(guardian->folder(), fs::path("/"));
  const std::vector<std::string> arguments = guardian->arguments();
  ASSERT_FALSE(arguments.empty());
  EXPECT_EQ(arguments.front(), "weir-guardian");
  EXPECT_TRUE(
      std::all_of(arguments.begin() + 1, arguments.end(), [](const auto& word) { return word.empty(); }));
  EXPECT_EQ(text_of(folder + "/environ").find("PATH="), std::string::npos);
  EXPECT_FALSE(guardian->ended());
  EXPECT_EQ(owner.let_go(), 0);
  expect_end(*guardian);
}

TEST(ExecGuardian, ThreadsThatStartTheirFirstProgramsAtOnceShareOne) {
  constexpr int kThreads = 8;
  // Whether several of them made one, of which one stays, is up to the scheduler.
  std::size_t most_made = 0;
  for (int round = 0; round < 50 && most_made < 2; ++round) {
    Owner owner([](const Owner& self) {
      ::prctl(PR_SET_CHILD_SUBREAPER, 1);
      std::array<int, kThreads> numbers{};
      std::latch begin(kThreads);
      std::latch begun(kThreads);
      std::latch end(1);
      std::vector<std::jthread> threads;
      for (int& number : numbers) {
        threads.emplace_back([&] {
          begin.arrive_and_wait();
          Conversation program(shell(kWithChild));
          number = number_of(program);
          begun.count_down();
          end.wait();
        });
      }
      begun.wait();
      for (const int number : numbers) self.tell(number);
      self.stay();
      end.count_down();
    });
    std::vector<Process> children;
    for (int i = 0; i < kThreads; ++i) {
      auto child = Process::find(owner.hear());
      ASSERT_TRUE(child);
      children.push_back(std::move(*child));
    }
    // Those that came too late are not collected by anybody, but end.
    const std::vector<pid_t> made = guardians_of(owner.pid());
    most_made = std::max(most_made, made.size());
    const auto living = [&] {
      std::vector<Process> found;
      for (const pid_t guardian : made)
        if (auto process = Process::find(guardian)) found.push_back(std::move(*process));
      return found;
    };
    test::wait_until([&] { return living().size() <= 1; }, "the guardians that came too late to end", 60s);
    const std::vector<Process> guardians = living();
    ASSERT_EQ(guardians.size(), 1U);
    owner.kill();
    for (const Process& child : children) expect_end(child);
    expect_end(guardians.front());
  }
  EXPECT_GT(most_made, 1U) << "they were never at it at once";
}

TEST(ExecGuardian, ASignalToAllOfUsIsNoneForIt) {
  Owner owner([](const Owner& self) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    Conversation program(shell(kWithChild));
    self.tell(number_of(program));
    self.stay();
  });
  const auto child = Process::find(owner.hear());
  ASSERT_TRUE(child);
  const std::vector<pid_t> guardians = guardians_of(owner.pid());
  ASSERT_EQ(guardians.size(), 1U);
  // What asks a program to end asks those who have something to end.
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::kill(guardians.front(), signal);
  ::kill(-owner.pid(), SIGKILL);
  expect_end(*child);
}

TEST(ExecGuardian, ProgramsRunAsWellWithoutItAndThatIsToldOnce) {
  Owner owner([](const Owner& self) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const Channel said;
    ::fcntl(said.read.get(), F_SETFL, O_NONBLOCK);
    log::configure({.level = log::Level::warn, .fd = said.write.get()});
    const auto run = [&] { self.tell(run_command(shell("exit 7"), soon(), {}).exit_status); };
    run();
    for (const pid_t guardian : guardians_of(::getpid())) {
      ::kill(guardian, SIGKILL);
      ::waitpid(guardian, nullptr, 0);
    }
    run();
    run();
    std::array<char, 4096> room;
    const ssize_t got = ::read(said.read.get(), room.data(), room.size());
    const std::string text(room.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    int warnings = 0;
    for (std::size_t at = 0; (at = text.find("without a guardian", at)) != std::string::npos; ++at)
      ++warnings;
    self.tell(warnings);
  });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(owner.hear(), 7) << i;
  EXPECT_EQ(owner.hear(), 1) << "warnings";
  EXPECT_EQ(owner.let_go(), 0);
}

TEST(ExecGuardian, AForkOfOursThatLivesOnDoesNotHideOurEnd) {
  Owner owner([](const Owner& self) {
    Conversation program(shell(kWithChild));
    self.tell(number_of(program));
    self.tell(test::in_process([]() -> int {
      for (;;) ::pause();
    }));
    self.stay();
  });
  const auto child = Process::find(owner.hear());
  const auto fork = Process::find(owner.hear());
  ASSERT_TRUE(child && fork);
  owner.kill();
  expect_end(*child);
  EXPECT_FALSE(fork->ended());
  fork->signal(SIGKILL);
}

TEST(ExecGuardian, AForkOfOursThatStartsProgramsHasItsOwn) {
  Owner owner([](const Owner& self) {
    Conversation program(shell(kWithChild));
    self.tell(number_of(program));
    test::in_process([&]() -> int {
      Conversation another(shell(kWithChild));
      self.tell(::getpid());
      self.tell(number_of(another));
      for (;;) ::pause();
    });
    self.stay();
  });
  const auto child = Process::find(owner.hear());
  const auto fork = Process::find(owner.hear());
  const auto forks_child = Process::find(owner.hear());
  ASSERT_TRUE(child && fork && forks_child);
  fork->signal(SIGKILL);
  expect_end(*forks_child);
  EXPECT_FALSE(child->ended());
  owner.kill();
  expect_end(*child);
}

TEST(ExecGuardian, AServerIsNotItsBusiness) {
  Owner owner([](const Owner& self) {
    Command server;
    server.argv = {"sleep", "1000"};
    self.tell(spawn_detached(server, 2));
    Conversation program(shell(kWithChild));
    self.tell(number_of(program));
    self.stay();
  });
  const auto server = Process::find(owner.hear());
  const auto child = Process::find(owner.hear());
  ASSERT_TRUE(server && child);
  owner.kill();
  expect_end(*child);
  EXPECT_FALSE(server->ended());
  server->signal(SIGKILL);
}

}  // namespace
}  // namespace weir::exec
