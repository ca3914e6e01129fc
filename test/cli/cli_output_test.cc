// Standard output that is closed, full or not read.
#include <array>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "base/error.h"
#include "exec/child.h"
#include "exec/spawn.h"
#include "weir_program.h"

namespace weir::test {
namespace {

/// Through a shell, which closes and redirects as people do.
exec::Outcome shell(const std::string& script) {
  exec::Command command;
  command.argv = {"bash", "-c", script};
  command.env = {{"WEIR", weir_binary()}, {"DATABASE_URL", std::nullopt}};
  return exec::run_command(command, Deadline::after(std::chrono::seconds(60)), {});
}

TEST(CliOutput, FullStandardOutputIsAFailure) {
  const exec::Outcome outcome = shell("\"$WEIR\" help >/dev/full");
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_EQ(outcome.err,
            "weir: cannot write to standard output: No space left on device\n"
            "  Make room where the output goes, and run the command again.\n");
}

TEST(CliOutput, ClosedStandardOutputIsAFailure) {
  const exec::Outcome outcome = shell("\"$WEIR\" version >&-");
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_THAT(outcome.err, ::testing::HasSubstr("cannot write to standard output: Bad file descriptor"));
}

TEST(CliOutput, WhereStandardOutputFailsErrorsGoToStandardError) {
  const exec::Outcome outcome = shell("\"$WEIR\" docter --json >/dev/full");
  EXPECT_EQ(outcome.exit_status, 2);
  EXPECT_THAT(outcome.err, ::testing::StartsWith("weir: unknown command 'docter'\n"));
}

TEST(CliOutput, ClosedStandardErrorCostsOnlyTheMessage) {
  EXPECT_EQ(shell("\"$WEIR\" docter 2>&-").exit_status, 2);
  EXPECT_EQ(shell("\"$WEIR\" docter 0<&- 1>&- 2>&-").exit_status, 2);
  EXPECT_EQ(shell("\"$WEIR\" docter 2>/dev/full").exit_status, 2);
}

TEST(CliOutput, AReaderThatLeftIsNoFailure) {
  const exec::Outcome piped =
      shell("\"$WEIR\" help --color always | head -0; echo \"status ${PIPESTATUS[0]}\"");
  EXPECT_EQ(piped.out, "status 0\n");
  EXPECT_EQ(piped.err, "");

  // The same without a race: the reader is gone before the program begins.
  const auto status_unread = [](const std::vector<std::string>& words) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
    const UniqueFd write_end(ends[1]);
    ::close(ends[0]);
    exec::Command command;
    command.argv = {weir_binary()};
    command.argv.insert(command.argv.end(), words.begin(), words.end());
    const pid_t pid = exec::spawn_child(command, {STDIN_FILENO, write_end.get(), write_end.get()});
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  };
  EXPECT_EQ(status_unread({"help"}), 0);
  EXPECT_EQ(status_unread({"--help"}), 0);
  EXPECT_EQ(status_unread({"docter"}), 2);
  EXPECT_EQ(status_unread({"docter", "--json"}), 2);
}

}  // namespace
}  // namespace weir::test
