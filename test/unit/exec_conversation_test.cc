#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "exec/conversation.h"
#include "exec/process.h"
#include "exec/strays.h"
#include "support/commands.h"

namespace weir::exec {
namespace {

using std::chrono::seconds;
using test::shell;
using test::soon;

/// Reads until `end` was read, or the stream is closed.
std::string read_until(Conversation& program, Conversation::Stream stream, const std::string& end) {
  std::string text;
  std::array<char, 4096> room;
  while (program.is_open(stream) && text.find(end) == std::string::npos) {
    const std::string_view got = program.read(stream, room);
    text += got;
    if (got.empty() && program.is_open(stream) && program.wait(false, soon(), {}) != WaitEnd::ready) break;
  }
  return text;
}

void wait_end(Conversation& program) {
  while (!program.ended()) ASSERT_EQ(program.wait(false, soon(), {}), WaitEnd::ready);
}

TEST(ExecConversation, AsksAndHearsAnswersOverAndOver) {
  Conversation program(shell("while read -r line; do echo \"<$line>\"; echo \"e:$line\" >&2; done"));
  for (const std::string word : {"one", "two"}) {
    EXPECT_EQ(program.write(word + "\n"), 4U);
    EXPECT_EQ(read_until(program, Conversation::Stream::out, ">\n"), "<" + word + ">\n");
    EXPECT_EQ(read_until(program, Conversation::Stream::err, "\n"), "e:" + word + "\n");
  }
  EXPECT_FALSE(program.ended());
  program.close_input();
  wait_end(program);
  EXPECT_EQ(describe_status(program.end()), "exit status 0");
}

TEST(ExecConversation, WritingNeverBlocksAndWaitTellsWhenItGoesOn) {
  Conversation program(shell("wc -c"));
  constexpr std::size_t kAll = 1 << 20;
  const std::string bytes(kAll, 'x');
  std::size_t total = 0;
  while (total < kAll) {
    total += program.write(std::string_view(bytes).substr(total));
    if (total < kAll) {
      ASSERT_EQ(program.wait(true, soon(), {}), WaitEnd::ready);
    }
  }
  program.close_input();
  EXPECT_EQ(read_until(program, Conversation::Stream::out, "\n"), "1048576\n");
}

TEST(ExecConversation, AFullPipeIsNotWaitedForUnasked) {
  Conversation program(shell("sleep 1000"));
  const std::string block(1 << 16, 'x');
  while (program.write(block) > 0) continue;
  EXPECT_TRUE(program.input_open());
  const Deadline at_once(SteadyTime::min());
  EXPECT_EQ(program.wait(true, at_once, {}), WaitEnd::deadline);
}

TEST(ExecConversation, TellsWhatTheProgramAndItsChildrenTook) {
  Conversation program(shell("sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; exit 3"));
  EXPECT_FALSE(program.usage());
  wait_end(program);
  EXPECT_EQ(describe_status(program.end()), "exit status 3");
  ASSERT_TRUE(program.usage());
  EXPECT_GT(program.usage()->user + program.usage()->system, std::chrono::milliseconds(1));
  EXPECT_GT(program.usage()->max_rss_bytes, 100 * 1024);
}

TEST(ExecStrays, AreFoundByTheirEnvironmentAndNobodyElseIs) {
  const std::string mark = "WEIR_TEST_MARK=" + std::to_string(::getpid());
  const auto start = [&](const std::string& value) {
    Command command = shell("setsid sleep 1000 & echo $!; wait");
    command.env["WEIR_TEST_MARK"] = value;
    return std::make_unique<Conversation>(command);
  };
  const auto marked = start(std::to_string(::getpid()));
  const auto other = start(std::to_string(::getpid()) + "1");
  const auto stray = Process::find(std::stoi(read_until(*marked, Conversation::Stream::out, "\n")));
  const auto alive = Process::find(std::stoi(read_until(*other, Conversation::Stream::out, "\n")));
  ASSERT_TRUE(stray && alive);
  EXPECT_EQ(kill_strays(mark), 2);
  EXPECT_EQ(stray->wait_end(soon(), {}), WaitEnd::ready);
  wait_end(*marked);
  EXPECT_FALSE(other->ended());
  EXPECT_FALSE(alive->ended());
  EXPECT_EQ(kill_strays(mark), 0);
  alive->signal(SIGKILL);
}

TEST(ExecConversation, AProgramThatClosesItsInputIsNoSignalForUs) {
  Conversation program(shell("exec <&-; echo closed; sleep 1000"));
  EXPECT_EQ(read_until(program, Conversation::Stream::out, "\n"), "closed\n");
  EXPECT_EQ(program.write("x"), 0U);
  EXPECT_FALSE(program.input_open());
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST(ExecConversation, ItsInputCanBeOpenedByName) {
  Conversation program(shell("cat /dev/stdin"));
  program.write("hello\n");
  program.close_input();
  EXPECT_EQ(read_until(program, Conversation::Stream::out, "\n"), "hello\n");
}

TEST(ExecConversation, ItsEndIsSeenWhileOthersHoldThePipes) {
  Conversation program(shell("sleep 1000 & echo $!"));
  const std::string child = read_until(program, Conversation::Stream::out, "\n");
  wait_end(program);
  EXPECT_TRUE(program.is_open(Conversation::Stream::out));
  program.end();
  const auto process = Process::find(std::stoi(child));
  EXPECT_TRUE(!process || process->wait_end(soon(), {}) == WaitEnd::ready);
}

TEST(ExecConversation, StopEndsTheWait) {
  std::stop_source source;
  Conversation program(shell("sleep 1000"));
  const std::jthread stopper([&] { source.request_stop(); });
  EXPECT_EQ(program.wait(false, soon(), source.get_token()), WaitEnd::stopped);
}

TEST(ExecConversation, DiesWithTheProcessThatStartedIt) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t owner = ::fork();
  if (owner == 0) {
    Command command;
    command.argv = {"sleep", "1000"};
    command.dies_with_thread = true;
    const Conversation program(command);
    const pid_t pid = program.pid();
    [[maybe_unused]] const auto written = ::write(ends[1], &pid, sizeof pid);
    for (;;) ::pause();
  }
  pid_t pid = 0;
  ASSERT_EQ(::read(ends[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  const auto process = Process::find(pid);
  ASSERT_TRUE(process);
  ::kill(owner, SIGKILL);
  ::waitpid(owner, nullptr, 0);
  EXPECT_EQ(process->wait_end(soon(), {}), WaitEnd::ready);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace weir::exec
