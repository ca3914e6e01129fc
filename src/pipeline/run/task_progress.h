#pragma once

#include <optional>

#include "base/clock.h"
#include "pg/session.h"
#include "pipeline/run/task_attempt.h"

namespace weir::pipeline {

/// How far a command says that it is, on its way to weir.task: the last word, at most once a second, and
/// nothing while it says nothing. Used by the slot that runs the task.
class TaskProgress {
 public:
  explicit TaskProgress(const TaskAttempt& attempt) : attempt_(&attempt) {}

  void say(double done, std::optional<double> of) {
    done_ = done;
    of_ = of;
    fresh_ = true;
  }
  /// Writes what is due; answers when it wants to be called again. Outside of a transaction.
  SteadyTime attend(pg::Session& session, SteadyTime now);

 private:
  const TaskAttempt* attempt_;
  double done_ = 0;
  std::optional<double> of_{};
  bool fresh_ = false;
  SteadyTime due_{};
};

}  // namespace weir::pipeline
