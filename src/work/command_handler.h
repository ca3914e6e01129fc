#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/backoff.h"
#include "base/deadline.h"
#include "exec/command.h"
#include "work/handler.h"
#include "work/progress_sink.h"

namespace weir::work {

class Answers;
class BatchText;

struct CommandOptions {
  /// What to run. Its environment gets WEIR_QUEUE, WEIR_SLOT and WEIR_PROTOCOL, and loses what says how to
  /// reach a database (hide_database), unless `env` sets it again.
  exec::Command command;
  std::string queue;  ///< or table, or stream
  int slot = 0;
  std::size_t longest_line = std::size_t{16} << 20U;  ///< of an answer
  std::optional<Duration> timeout{};                  ///< for a whole batch
  /// Outlives the handler. Without one, as where items are no jobs, progress is heard and dropped.
  ProgressSink* progress = nullptr;
  /// Before the next start after a process that gave no answer at all.
  BackoffPolicy restart{.base = std::chrono::milliseconds(200), .cap = std::chrono::seconds(30)};
};

/// A program of the user that gets items and answers them line by line: docs/command-protocol.md. One
/// process, started at the first batch, and again after one that ended. What it answered stands, whatever
/// becomes of it then; the items without an answer fail.
class CommandHandler final : public Handler {
 public:
  explicit CommandHandler(CommandOptions options);
  CommandHandler(const CommandHandler&) = delete;
  CommandHandler& operator=(const CommandHandler&) = delete;
  ~CommandHandler() override;

  void run(Batch& batch) override;

 private:
  struct Process;

  bool get_ready(const std::stop_token& stop);
  std::optional<std::string> talk(Batch& batch);
  void take_output(Process& process, Answers& answers, bool all_sent);
  void take_errors(Process& process);
  std::string end_by_force(Answers* answers, bool all_sent);
  std::string collect_end(Answers* answers, bool all_sent);
  [[nodiscard]] Duration farewell() const;
  bool leave_time_to_end(Deadline deadline, Answers* answers, bool all_sent);

  CommandOptions options_;
  std::unique_ptr<Process> process_;
  std::uint64_t batches_ = 0;
  int useless_starts_ = 0;    // in a row: processes that gave no answer
  bool exited_well_ = false;  // the last process that ended
  bool had_left_ = false;     // it ended in order after a batch before, and saw nothing of this one
};

}  // namespace weir::work
