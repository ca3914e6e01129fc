#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>

#include "base/unique_fd.h"
#include "base/wait.h"
#include "exec/command.h"
#include "exec/guardian.h"

namespace weir::exec {

/// What a program took, with those of its own children that it waited for.
struct Usage {
  Duration user{};
  Duration system{};
  std::int64_t max_rss_bytes = 0;  ///< of the largest of these processes
};

/// A running program with its process group and the three pipes to it; nothing here blocks but `wait` and
/// `end`. Nothing of the group outlives it: what is left is killed. Nor does it outlive our process, however
/// that ends: of every program, since an owner that waits would have killed it, and one that is gone cannot.
/// Used by one thread.
class Conversation {
 public:
  enum class Input { pipe, none };
  enum class Stream { out, err };

  /// The command's own `input`, `keep_head` and `keep_tail` play no part.
  explicit Conversation(const Command& command, Input input = Input::pipe);
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Answers how many bytes it took, which may be none. When the program takes no more at all, the input is
  /// closed.
  std::size_t write(std::string_view bytes);
  void close_input() noexcept;
  [[nodiscard]] bool input_open() const noexcept { return in_.valid(); }

  /// What is there now, in `room`; empty when nothing is. At its end the stream is closed.
  std::string_view read(Stream stream, std::span<char> room);
  [[nodiscard]] bool is_open(Stream stream) const noexcept;

  /// Ready when there is something to read, when it has ended, and, if `to_write`, when the input takes
  /// bytes. A deadline that has passed counts more than what there is to read.
  WaitEnd wait(bool to_write, Deadline deadline, const std::stop_token& stop);
  /// The program itself has ended; others of its group may live and hold the pipes.
  [[nodiscard]] bool ended() const;

  void signal_group(int signal) const noexcept;
  /// Kills what is left of the group and answers the program's wait status. What was written before stays
  /// readable.
  int end() noexcept;
  /// Nothing before end() has said how it ended.
  [[nodiscard]] const std::optional<Usage>& usage() const noexcept { return usage_; }

 private:
  UniqueFd& fd_of(Stream stream) noexcept { return stream == Stream::out ? out_ : err_; }
  void forget(UniqueFd& pipe) noexcept;

  GuardedGroup guarded_;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  UniqueFd events_;
  UniqueFd process_;
  Wakeup wakeup_;
  pid_t pid_ = 0;
  bool watches_input_ = false;
  std::optional<int> status_;
  std::optional<Usage> usage_;
};

/// "exit status 3", "signal 11 (Segmentation fault)".
std::string describe_status(int wait_status);

}  // namespace weir::exec
