#pragma once

#include <stop_token>

#include "base/deadline.h"
#include "exec/captured_text.h"
#include "exec/conversation.h"

namespace weir::exec {

/// How a process ended.
struct Outcome {
  enum class Cause {
    finished,  ///< by itself
    deadline,  ///< we ended it because the time was up
    stopped,   ///< we ended it because stop was requested
  };
  Cause cause = Cause::finished;
  int exit_status = 0;  ///< meaningless when `signal` is set
  int signal = 0;       ///< the signal that killed it; 0 when it exited
  std::string out;
  std::string err;

  [[nodiscard]] bool ok() const noexcept {
    return cause == Cause::finished && signal == 0 && exit_status == 0;
  }
  /// "exit status 3", "signal 11 (Segmentation fault)", "the time was up", "it was stopped".
  [[nodiscard]] std::string describe() const;
};

/// A program that is run to its end. Nothing of its process group outlives it: what is left is killed. Used
/// by one thread.
class Child {
 public:
  explicit Child(const Command& command);

  [[nodiscard]] pid_t pid() const noexcept { return program_.pid(); }

  /// Feeds its input and takes its output until it ends. When the deadline passes or stop is requested, the
  /// group gets SIGTERM, and SIGKILL after the command's grace. Called once.
  Outcome wait(Deadline deadline, const std::stop_token& stop);

 private:
  enum class Ended { yes, deadline, stopped };
  Ended pump(Deadline deadline, const std::stop_token& stop);
  void feed();
  void take(Conversation::Stream stream, CapturedText& text);

  Duration grace_;
  std::string input_;
  std::size_t fed_ = 0;
  CapturedText out_text_;
  CapturedText err_text_;
  Conversation program_;
};

/// Runs a command to its end.
Outcome run_command(const Command& command, Deadline deadline, const std::stop_token& stop);

}  // namespace weir::exec
