#include "exec/guardian_process.h"

#include <cerrno>
#include <csignal>
#include <string_view>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// Everything here runs in a fork of a process that may have threads, which nothing is executed after: only
// async-signal-safe calls, to the end, and no memory but what was there.

namespace weir::exec {
namespace {

constexpr std::string_view kGuardianName = "weir-guardian";

/// `ps` and `pkill -f` must not take it for a second one of us, nor kill_strays for a program of ours.
void take_guardian_name(std::span<char> words) noexcept {
  ::prctl(PR_SET_NAME, kGuardianName.data());
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = i < kGuardianName.size() && i + 1 < words.size() ? kGuardianName[i] : '\0';
  }
}

/// Standard input is the pipe. Whoever waits for the end of another one must not wait for us.
void keep_only_input(int last_fd) noexcept {
  if (::syscall(SYS_close_range, 1U, ~0U, 0U) == 0) return;
  for (int fd = 1; fd < last_fd; ++fd) ::close(fd);
}

[[noreturn]] void stand_guard(const GuardList& list) noexcept {
  char byte = 0;
  ssize_t got = 0;
  do {
    got = ::read(0, &byte, sizeof byte);
  } while (got > 0 || (got < 0 && errno == EINTR));
  // Not the end of the pipe, but a failure, which nobody is to die of.
  if (got < 0) ::_exit(1);
  for (const std::atomic<pid_t>& leader : list.leaders) {
    const pid_t group = leader.load();
    // All of the group at once: one of them that forks in this moment has not forked, or its child is hit
    // too.
    if (group > 1) ::kill(-group, SIGKILL);
  }
  ::_exit(0);
}

}  // namespace

void become_guardian(int lifeline, const GuardList& list, std::span<char> words, int last_fd) noexcept {
  // A session of its own before it is there, so that no signal to our group or from our terminal finds it.
  ::setsid();
  if (::dup2(lifeline, 0) < 0) ::_exit(1);
  keep_only_input(last_fd);
  // It must not keep a file system from being unmounted.
  [[maybe_unused]] const int moved = ::chdir("/");
  take_guardian_name(words);
  // Without handlers of pthread_atfork(), which may do anything.
  const pid_t guardian = ::_Fork();
  if (guardian == 0) stand_guard(list);
  ::_exit(guardian < 0 ? 1 : 0);
}

}  // namespace weir::exec
