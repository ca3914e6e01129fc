#include "exec/child.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <fmt/format.h>

#include "base/wait.h"
#include "exec/pidfd.h"
#include "exec/spawn.h"

namespace weir::exec {

namespace {

struct Pipe {
  UniqueFd ours;
  UniqueFd theirs;
};

Pipe pipe_from_child() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // Only our end: a program does not expect EAGAIN from its standard output.
  if (::fcntl(pipe.ours.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl");
  return pipe;
}

/// A socket, because MSG_NOSIGNAL spares us the SIGPIPE of a program that does not read all of its input.
Pipe pipe_to_child(bool has_input) {
  if (!has_input) {
    UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!nothing.valid()) throw_errno("open /dev/null");
    return {UniqueFd(), std::move(nothing)};
  }
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_errno("socketpair");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  ::shutdown(pipe.theirs.get(), SHUT_WR);
  return pipe;
}

void watch(int epoll, int fd, std::uint32_t wanted) {
  epoll_event event{};
  event.events = wanted;
  event.data.fd = fd;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
}

}  // namespace

std::string Outcome::describe() const {
  if (cause == Cause::deadline) return "the time was up";
  if (cause == Cause::stopped) return "it was stopped";
  if (signal != 0) {
    const char* const name = ::sigdescr_np(signal);  // none for real-time signals
    return fmt::format("signal {} ({})", signal, name == nullptr ? "real-time" : name);
  }
  return fmt::format("exit status {}", exit_status);
}

Child::Child(const Command& command)
    : grace_(command.grace),
      input_(command.input),
      out_text_(command.keep_head, command.keep_tail),
      err_text_(command.keep_head, command.keep_tail),
      events_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!events_.valid()) throw_errno("epoll_create1");
  Pipe in = pipe_to_child(!input_.empty());
  Pipe out = pipe_from_child();
  Pipe err = pipe_from_child();
  if (in.ours.valid()) watch(events_.get(), in.ours.get(), EPOLLOUT);
  watch(events_.get(), out.ours.get(), EPOLLIN);
  watch(events_.get(), err.ours.get(), EPOLLIN);

  pid_ = spawn_child(command, {in.theirs.get(), out.theirs.get(), err.theirs.get()});
  in_ = std::move(in.ours);
  out_ = std::move(out.ours);
  err_ = std::move(err.ours);
  try {
    process_ = open_pidfd(pid_);
    if (!process_.valid()) throw_errno("pidfd_open");
    watch(events_.get(), process_.get(), EPOLLIN);
  } catch (...) {
    end_group();
    throw;
  }
}

Child::~Child() {
  if (!reaped_) end_group();
}

Outcome Child::wait(Deadline deadline, const std::stop_token& stop) {
  Outcome outcome;
  const Ended ended = pump(deadline, stop);
  if (ended != Ended::yes) {
    outcome.cause = ended == Ended::deadline ? Outcome::Cause::deadline : Outcome::Cause::stopped;
    signal_group(SIGTERM);
    if (pump(Deadline::after(grace_), {}) != Ended::yes) signal_group(SIGKILL);
    // No deadline: nothing in user space survives SIGKILL, and to leave would leave a zombie.
    pump(Deadline::never(), {});
  }
  const int status = end_group();
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  if (WIFEXITED(status)) outcome.exit_status = WEXITSTATUS(status);
  // What was written before the end is in the pipes. What a process that left the group writes later is not
  // waited for.
  take(out_, out_text_);
  take(err_, err_text_);
  outcome.out = out_text_.text();
  outcome.err = err_text_.text();
  return outcome;
}

Child::Ended Child::pump(Deadline deadline, const std::stop_token& stop) {
  Wakeup wakeup;
  for (;;) {
    // An epoll descriptor is readable when one of its members is, so several descriptors fit into the one
    // wait.
    switch (wait_fd(events_.get(), POLLIN, deadline, stop, wakeup)) {
      case WaitEnd::deadline: return Ended::deadline;
      case WaitEnd::stopped: return Ended::stopped;
      case WaitEnd::woken: continue;
      case WaitEnd::ready: break;
    }
    std::array<epoll_event, 4> events{};
    const int count = ::epoll_wait(events_.get(), events.data(), static_cast<int>(events.size()), 0);
    bool ended = false;
    for (int i = 0; i < count; ++i) {
      const int fd = events.at(static_cast<std::size_t>(i)).data.fd;
      if (fd == process_.get()) ended = true;
      handle(fd);
    }
    if (ended) return Ended::yes;
  }
}

void Child::handle(int fd) {
  if (fd == in_.get()) feed();
  if (fd == out_.get() && !take(out_, out_text_)) forget(out_);
  if (fd == err_.get() && !take(err_, err_text_)) forget(err_);
}

void Child::feed() {
  const std::string_view rest = std::string_view(input_).substr(fed_);
  const ssize_t sent = ::send(in_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) fed_ += static_cast<std::size_t>(sent);
  const bool broken = sent < 0 && errno != EAGAIN && errno != EINTR;
  if (broken || fed_ == input_.size()) forget(in_);
}

/// False at the end of the stream. Reads a bounded amount, so that endless output cannot postpone a stop.
bool Child::take(UniqueFd& pipe, CapturedText& text) {
  std::array<char, 64 * 1024> buffer;
  for (int round = 0; pipe.valid() && round < 4; ++round) {
    const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
    if (got == 0) return false;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    text.append(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  }
  return true;
}

void Child::forget(UniqueFd& pipe) noexcept {
  ::epoll_ctl(events_.get(), EPOLL_CTL_DEL, pipe.get(), nullptr);
  pipe.reset();
}

void Child::signal_group(int signal) const noexcept { ::kill(-pid_, signal); }

/// Kills what is left of the group and returns the leader's wait status. The leader is still a zombie when
/// the group is signalled, which keeps anybody else from getting its number.
int Child::end_group() noexcept {
  signal_group(SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  reaped_ = true;
  return status;
}

Outcome run_command(const Command& command, Deadline deadline, const std::stop_token& stop) {
  return Child(command).wait(deadline, stop);
}

}  // namespace weir::exec
