#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pg/session.h"
#include "pipeline/run/task_attempt.h"
#include "pipeline/task/task_log.h"
#include "pipeline/task/template.h"

namespace weir::pipeline {

/// What one attempt says, on its way to weir.task_log: the head while the task runs, and the tail at its end.
/// Used by the slot that runs the task.
class LogStore final : public LogSink, public SecretKeeper {
 public:
  explicit LogStore(const TaskAttempt& attempt) : attempt_(&attempt) {}

  void append(LogStream stream, WallTime at, std::string_view line) override;
  /// Weir's own words, at this moment; of secrets that it keeps only what is written for them.
  void say(std::string_view line);
  void keep(const std::string& value, const std::string& written) override;
  [[nodiscard]] std::string without_secrets(std::string text) const;
  /// Stores what has waited for a while; answers when it wants to be called again. Outside of a transaction.
  SteadyTime attend(pg::Session& session, SteadyTime now);
  /// All that is left. Throws pg::Error; what was stored by then is not stored again by the next call.
  void store(pg::Session& session);
  [[nodiscard]] bool empty() const { return log_.counts().lines == 0; }

 private:
  void store_head(pg::Session& session);
  void tell_gap(std::vector<LogLine>& tail) const;
  /// Takes out of `lines` what it has written.
  void write(pg::Session& session, std::vector<LogLine>& lines) const;

  const TaskAttempt* attempt_;
  TaskLog log_;
  std::vector<LogLine> head_;           ///< taken out of the log, and not written yet
  std::int64_t stored_ = 0;             ///< of the tail: up to this number
  bool fresh_ = false;                  ///< something was said since the last attend()
  SteadyTime due_ = SteadyTime::max();  ///< when what waits is stored
  SteadyTime attended_{};
  std::vector<std::pair<std::string, std::string>>
      secrets_;  ///< the value, and what is written for it; long ones first
};

}  // namespace weir::pipeline
