#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exec/captured_text.h"
#include "pipeline/task/process_message.h"
#include "pipeline/task/task_log.h"

namespace weir::pipeline {

/// What a program writes: messages are taken, all else goes to the log. Memory is bounded, whatever comes.
class ProcessOutput {
 public:
  using Progress = std::function<void(double done, std::optional<double> of)>;

  ProcessOutput(LogSink& log, std::size_t longest_message, Progress progress);

  void take_out(std::string_view bytes, WallTime at);
  void take_err(std::string_view bytes, WallTime at);
  void finish(WallTime at);

  [[nodiscard]] const std::optional<std::string>& value() const noexcept { return value_; }
  [[nodiscard]] const std::optional<std::string>& skipped() const noexcept { return skipped_; }
  [[nodiscard]] const std::optional<std::vector<std::string>>& branch() const noexcept { return branch_; }
  /// The first message that has no meaning.
  [[nodiscard]] const std::optional<std::string>& fault() const noexcept { return fault_; }
  /// The end of standard error, fit for a terminal.
  [[nodiscard]] std::string last_words() const;

 private:
  void take_piece(std::string_view piece, bool whole, WallTime at);
  void set_fault(std::string what);
  bool take_message(std::string_view line);

  std::size_t longest_;
  Progress progress_;
  LogLines out_;
  LogLines err_;
  std::string line_;      // of standard output, as far as it may be a message
  bool is_text_ = false;  // it cannot be one: all of it goes to the log
  exec::CapturedText err_tail_;
  std::optional<std::string> value_;
  std::optional<std::string> skipped_;
  std::optional<std::vector<std::string>> branch_;
  std::optional<std::string> fault_;
};

}  // namespace weir::pipeline
