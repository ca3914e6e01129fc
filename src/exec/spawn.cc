#include "exec/spawn.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "exec/forking.h"

extern char** environ;

namespace weir::exec {

namespace {

/// What the new process tells us through a pipe that exec closes.
struct Report {
  enum class Kind : int { process_id, failure } kind;
  StartError::Step step;
  int value;  // the process id, or errno
};

/// Everything the new process needs, made before the fork: after it, in a process that had threads, only
/// async-signal-safe calls are allowed, so nothing there may allocate.
class Plan {
 public:
  explicit Plan(const Command& command)
      : cwd_(command.cwd),
        identity_(command.run_as && (::geteuid() == 0 || command.run_as->uid != ::geteuid())
                      ? &*command.run_as
                      : nullptr),
        parent_(command.dies_with_thread ? ::getpid() : 0),
        last_fd_(static_cast<int>(::sysconf(_SC_OPEN_MAX))) {
    const char* path = std::getenv("PATH");
    const auto program = find_program(command.argv.at(0), path == nullptr ? "/usr/bin:/bin" : path);
    if (!program) throw StartError(command, StartError::Step::find, ENOENT);
    program_ = program->string();

    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
      const std::string_view text(*entry);
      if (!command.env.contains(std::string(text.substr(0, text.find('='))))) env_.emplace_back(text);
    }
    for (const auto& [name, value] : command.env) {
      if (value) env_.push_back(name + "=" + *value);
    }
    argv_ = command.argv;
    argv_pointers_ = pointers(argv_);
    env_pointers_ = pointers(env_);
  }

  /// In the new process, with all signals blocked. Returns only on failure, with errno, and says which step
  /// it was.
  StartError::Step become(const StandardFds& fds, bool own_session,
                          const GuardedGroup* group) const noexcept {
    if ((own_session ? ::setsid() : ::setpgid(0, 0)) < 0) return StartError::Step::prepare;
    if (group != nullptr) group->enter();
    if (::dup2(fds.in, 0) < 0 || ::dup2(fds.out, 1) < 0 || ::dup2(fds.err, 2) < 0)
      return StartError::Step::prepare;
    close_the_rest();
    for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);
    if (identity_ != nullptr && !take_identity()) return StartError::Step::identity;
    // After the change of identity, which forgets it. We may have been killed before it was asked for.
    if (parent_ != 0 && !own_session) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent_) ::_exit(127);
    }
    if (!cwd_.empty() && ::chdir(cwd_.c_str()) != 0) return StartError::Step::folder;
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(program_.c_str(), argv_pointers_.data(), env_pointers_.data());
    return StartError::Step::program;
  }

 private:
  static std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
  }

  // Marked instead of closed: the pipe for the report has to last until exec.
  void close_the_rest() const noexcept {
    if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
    for (int fd = 3; fd < last_fd_; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }

  // The raw calls: the library's take a lock and signal threads that this process no longer has.
  [[nodiscard]] bool take_identity() const noexcept {
    return ::syscall(SYS_setgroups, identity_->groups.size(), identity_->groups.data()) == 0 &&
           ::syscall(SYS_setresgid, identity_->gid, identity_->gid, identity_->gid) == 0 &&
           ::syscall(SYS_setresuid, identity_->uid, identity_->uid, identity_->uid) == 0;
  }

  std::string program_;
  std::string cwd_;
  const User* identity_;
  pid_t parent_;  // 0 when it may outlive us
  int last_fd_;
  std::vector<std::string> argv_;
  std::vector<std::string> env_;
  std::vector<char*> argv_pointers_;
  std::vector<char*> env_pointers_;
};

[[noreturn]] void report_failure(int fd, StartError::Step step) noexcept {
  const Report report{Report::Kind::failure, step, errno};
  [[maybe_unused]] const auto written = ::write(fd, &report, sizeof report);
  ::_exit(127);
}

/// dup2 onto 0, 1 and 2 must not hit a descriptor that is still needed, so none of ours may be one of them.
UniqueFd above_standard(const Command& command, int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw StartError(command, StartError::Step::prepare, errno);
  return UniqueFd(copy);
}

pid_t spawn(const Command& command, const StandardFds& fds, bool detached, GuardedGroup* group) {
  const Plan plan(command);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw StartError(command, StartError::Step::prepare, errno);
  const UniqueFd read_end(ends[0]);
  UniqueFd low_write_end(ends[1]);
  UniqueFd write_end = above_standard(command, low_write_end.get());
  low_write_end.reset();
  const UniqueFd in = above_standard(command, fds.in);
  const UniqueFd out = above_standard(command, fds.out);
  const UniqueFd err = above_standard(command, fds.err);
  const StandardFds high{in.get(), out.get(), err.get()};

  pid_t child = 0;
  {
    const AllSignalsBlocked blocked;
    child = ::fork();
    if (child == 0) {
      if (detached) {
        const pid_t server = ::fork();
        if (server < 0) report_failure(write_end.get(), StartError::Step::prepare);
        if (server > 0) {
          const Report report{Report::Kind::process_id, StartError::Step::prepare, server};
          [[maybe_unused]] const auto written = ::write(write_end.get(), &report, sizeof report);
          ::_exit(0);
        }
      }
      const StartError::Step failed = plan.become(high, detached, group);
      report_failure(write_end.get(), failed);
    }
  }
  if (child < 0) throw StartError(command, StartError::Step::prepare, errno);
  write_end.reset();

  // Ends with the exec or the exit of whoever holds the other end, so it lasts as long as a few system calls.
  pid_t pid = child;
  std::optional<Report> failure;
  for (;;) {
    Report report{};
    const ssize_t got = ::read(read_end.get(), &report, sizeof report);
    if (got < 0 && errno == EINTR) continue;
    if (got != static_cast<ssize_t>(sizeof report)) break;
    if (report.kind == Report::Kind::process_id) pid = report.value;
    if (report.kind == Report::Kind::failure) failure = report;
  }
  if (group != nullptr && failure) group->leave();
  if (group != nullptr) group->entered();
  if (detached || failure) reap(child);
  if (failure) throw StartError(command, failure->step, failure->value);
  return pid;
}

}  // namespace

pid_t spawn_child(const Command& command, const StandardFds& fds, GuardedGroup* group) {
  return spawn(command, fds, false, group);
}

pid_t spawn_detached(const Command& command, int log_fd) {
  const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing.valid()) throw StartError(command, StartError::Step::prepare, errno);
  return spawn(command, {nothing.get(), log_fd, log_fd}, true, nullptr);
}

}  // namespace weir::exec
