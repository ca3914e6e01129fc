#include "exec/child.h"

#include <array>
#include <csignal>
#include <cstring>

#include <sys/wait.h>

#include <fmt/format.h>

namespace weir::exec {

std::string Outcome::describe() const {
  if (cause == Cause::deadline) return "the time was up";
  if (cause == Cause::stopped) return "it was stopped";
  if (signal != 0) return fmt::format("signal {} ({})", signal, ::sigdescr_np(signal));
  return fmt::format("exit status {}", exit_status);
}

Child::Child(const Command& command)
    : grace_(command.grace),
      input_(command.input),
      out_text_(command.keep_head, command.keep_tail),
      err_text_(command.keep_head, command.keep_tail),
      program_(command, input_.empty() ? Conversation::Input::none : Conversation::Input::pipe) {}

Outcome Child::wait(Deadline deadline, const std::stop_token& stop) {
  Outcome outcome;
  const Ended ended = pump(deadline, stop);
  if (ended != Ended::yes) {
    outcome.cause = ended == Ended::deadline ? Outcome::Cause::deadline : Outcome::Cause::stopped;
    program_.signal_group(SIGTERM);
    if (pump(Deadline::after(grace_), {}) != Ended::yes) program_.signal_group(SIGKILL);
    // No deadline: nothing in user space survives SIGKILL, and to leave would leave a zombie.
    pump(Deadline::never(), {});
  }
  const int status = program_.end();
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  if (WIFEXITED(status)) outcome.exit_status = WEXITSTATUS(status);
  // What was written before the end is in the pipes. What a process that left the group writes later is not
  // waited for.
  take(Conversation::Stream::out, out_text_);
  take(Conversation::Stream::err, err_text_);
  outcome.out = out_text_.text();
  outcome.err = err_text_.text();
  return outcome;
}

Child::Ended Child::pump(Deadline deadline, const std::stop_token& stop) {
  for (;;) {
    switch (program_.wait(fed_ < input_.size(), deadline, stop)) {
      case WaitEnd::deadline: return Ended::deadline;
      case WaitEnd::stopped: return Ended::stopped;
      case WaitEnd::woken: continue;
      case WaitEnd::ready: break;
    }
    feed();
    take(Conversation::Stream::out, out_text_);
    take(Conversation::Stream::err, err_text_);
    if (program_.ended()) return Ended::yes;
  }
}

void Child::feed() {
  fed_ += program_.write(std::string_view(input_).substr(fed_));
  if (fed_ == input_.size()) program_.close_input();
}

/// Reads a bounded amount, so that endless output cannot postpone a stop.
void Child::take(Conversation::Stream stream, CapturedText& text) {
  std::array<char, 64 * 1024> buffer;
  for (int round = 0; round < 4; ++round) {
    const std::string_view got = program_.read(stream, buffer);
    if (got.empty()) return;
    text.append(got);
  }
}

Outcome run_command(const Command& command, Deadline deadline, const std::stop_token& stop) {
  return Child(command).wait(deadline, stop);
}

}  // namespace weir::exec
