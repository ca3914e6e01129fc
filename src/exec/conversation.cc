#include "exec/conversation.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "exec/pidfd.h"
#include "exec/spawn.h"

namespace weir::exec {

namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Only our end of a pipe: a program does not expect EAGAIN from its standard output.
void never_block(const UniqueFd& ours) {
  if (::fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl");
}

void watch(const UniqueFd& events, const UniqueFd& fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(events.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) throw_errno("epoll_ctl");
}

Duration span_of(const timeval& time) noexcept {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

/// A program that no longer reads must not kill us, nor may we change what SIGPIPE does in a process that may
/// not be ours alone. A socket with MSG_NOSIGNAL would be less trouble, but a program cannot open /dev/stdin
/// when that is a socket.
class NoSigpipe {
 public:
  NoSigpipe() noexcept {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec now{};
    while (!was_pending_ && ::sigtimedwait(&sigpipe_, nullptr, &now) < 0 && errno == EINTR) continue;
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t sigpipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

/// The kernel throws the end of a child away where nobody wants to hear of it, and what failed would look
/// like a success.
void require_ends_told() {
  struct sigaction action {};
  ::sigaction(SIGCHLD, nullptr, &action);
  if (action.sa_handler != SIG_IGN && (action.sa_flags & SA_NOCLDWAIT) == 0) return;
  throw Error(ExitCode::failed,
              "SIGCHLD is ignored in this process: how a program ends could not be found out",
              "Set it to SIG_DFL, or to a handler without SA_NOCLDWAIT, before Weir runs programs.");
}

}  // namespace

std::string describe_status(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return fmt::format("signal {} ({})", signal, ::sigdescr_np(signal));
  }
  return fmt::format("exit status {}", WEXITSTATUS(wait_status));
}

Conversation::Conversation(const Command& command, Input input) : events_(::epoll_create1(EPOLL_CLOEXEC)) {
  require_ends_told();
  if (!events_.valid()) throw_errno("epoll_create1");
  Pipe in;
  if (input == Input::pipe) {
    in = make_pipe();
    never_block(in.write);
  } else {
    in.read = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!in.read.valid()) throw_errno("open /dev/null");
  }
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  never_block(out.read);
  never_block(err.read);
  watch(events_, out.read);
  watch(events_, err.read);

  pid_ = spawn_child(command, {in.read.get(), out.write.get(), err.write.get()}, &guarded_);
  in_ = std::move(in.write);
  out_ = std::move(out.read);
  err_ = std::move(err.read);
  try {
    process_ = open_pidfd(pid_);
    if (!process_.valid()) throw_errno("pidfd_open");
    watch(events_, process_);
  } catch (...) {
    end();
    throw;
  }
}

Conversation::~Conversation() { end(); }

std::size_t Conversation::write(std::string_view bytes) {
  if (!in_.valid() || bytes.empty()) return 0;
  ssize_t written = 0;
  {
    const NoSigpipe guard;
    written = ::write(in_.get(), bytes.data(), bytes.size());
    if (written < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  }
  if (written < 0) close_input();
  return written < 0 ? 0 : static_cast<std::size_t>(written);
}

void Conversation::close_input() noexcept {
  if (watches_input_) ::epoll_ctl(events_.get(), EPOLL_CTL_DEL, in_.get(), nullptr);
  watches_input_ = false;
  in_.reset();
}

std::string_view Conversation::read(Stream stream, std::span<char> room) {
  UniqueFd& pipe = fd_of(stream);
  while (pipe.valid()) {
    const ssize_t got = ::read(pipe.get(), room.data(), room.size());
    if (got > 0) return {room.data(), static_cast<std::size_t>(got)};
    if (got < 0 && errno == EINTR) continue;
    if (got == 0 || errno != EAGAIN) forget(pipe);
    break;
  }
  return {};
}

bool Conversation::is_open(Stream stream) const noexcept {
  return (stream == Stream::out ? out_ : err_).valid();
}

WaitEnd Conversation::wait(bool to_write, Deadline deadline, const std::stop_token& stop) {
  if (const bool wanted = to_write && in_.valid(); wanted != watches_input_) {
    epoll_event event{};
    event.events = EPOLLOUT;
    const int change = wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
    if (::epoll_ctl(events_.get(), change, in_.get(), &event) != 0) throw_errno("epoll_ctl");
    watches_input_ = wanted;
  }
  // An epoll descriptor is readable when one of its members is, so that several fit into the one wait.
  const WaitEnd end = wait_fd(events_.get(), POLLIN, deadline, stop, wakeup_);
  // A program that always has more to say than we can hear must not outlive its time.
  return end == WaitEnd::ready && deadline.expired() && !ended() ? WaitEnd::deadline : end;
}

bool Conversation::ended() const {
  if (status_) return true;
  pollfd process{process_.get(), POLLIN, 0};
  return ::poll(&process, 1, 0) > 0;
}

void Conversation::signal_group(int signal) const noexcept {
  if (!status_) ::kill(-pid_, signal);
}

/// The program is still running or a zombie when the group is signalled and leaves the guardian's list, which
/// keeps anybody else from getting its number.
int Conversation::end() noexcept {
  if (status_) return *status_;
  signal_group(SIGKILL);
  guarded_.leave();
  int status = 0;
  rusage used{};
  pid_t answer = 0;
  while ((answer = ::wait4(pid_, &status, 0, &used)) < 0 && errno == EINTR) continue;
  if (answer != pid_) {
    log::warn(
        "how a program ended is not known: another part of this process has waited for it (a waitpid of any "
        "child?)",
        {{"pid", std::int64_t{pid_}}});
    status = SIGKILL;  // no success, whatever it was
  }
  status_ = status;
  usage_ = Usage{span_of(used.ru_utime), span_of(used.ru_stime), used.ru_maxrss * std::int64_t{1024}};
  // Of no more use, and always readable.
  ::epoll_ctl(events_.get(), EPOLL_CTL_DEL, process_.get(), nullptr);
  close_input();
  return status;
}

void Conversation::forget(UniqueFd& pipe) noexcept {
  ::epoll_ctl(events_.get(), EPOLL_CTL_DEL, pipe.get(), nullptr);
  pipe.reset();
}

}  // namespace weir::exec
