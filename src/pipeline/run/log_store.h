#pragma once

#include <optional>

#include "pg/session.h"
#include "pipeline/run/task_attempt.h"
#include "pipeline/task/task_log.h"

namespace weir::pipeline {

/// What one attempt says, on its way to weir.task_log: the head while the task runs, about once a second, and
/// the tail at its end. Used by the slot that runs the task.
class LogStore final : public LogSink {
 public:
  /// `session` is not inside of a transaction when something is appended; null: all is kept until store().
  LogStore(const TaskAttempt& attempt, pg::Session* session) : attempt_(&attempt), session_(session) {}

  void append(LogStream stream, WallTime at, std::string_view line) override;
  /// Weir's own words, at this moment.
  void say(std::string_view line);
  /// All that is left. A log that cannot be stored fails no task.
  void store(pg::Session& session) noexcept;

 private:
  void store_head(pg::Session& session);
  void write(pg::Session& session, const std::vector<LogLine>& lines) const;

  const TaskAttempt* attempt_;
  pg::Session* session_;
  TaskLog log_;
  SteadyTime due_{};
};

}  // namespace weir::pipeline
