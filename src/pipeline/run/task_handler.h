#pragma once

#include <exception>
#include <functional>
#include <optional>

#include "pipeline/run/definitions.h"
#include "pipeline/run/running_task.h"
#include "pipeline/run/surroundings.h"
#include "pipeline/run/tasks_in_flight.h"
#include "work/handler.h"

namespace weir::pipeline {

/// Runs tasks, one at a time. SQL in Weir's own database, loads and models end in the transaction of their
/// data; the ends of all others are written by the runtime.
class TaskHandler final : public work::Handler {
 public:
  /// `successors_ready` is called when an end that was written here makes others ready.
  TaskHandler(const Surroundings& at, Definitions& definitions, TasksInFlight& in_flight,
              std::function<void()> successors_ready)
      : at_(at),
        definitions_(definitions),
        in_flight_(in_flight),
        successors_ready_(std::move(successors_ready)) {}

  void run(work::Batch& batch) override;

 private:
  work::Outcome run_task(TaskAttempt& attempt, const std::stop_token& stop);
  static work::Outcome run_body(RunningTask& running);
  pg::Session& session(const TaskAttempt& attempt, const std::stop_token& stop);
  work::Outcome leave_to_others(const TaskAttempt& attempt, const std::exception& reason);
  void store_log(LogStore& log, const TaskAttempt& attempt, const std::stop_token& stop);
  void clean_session() noexcept;

  const Surroundings& at_;
  Definitions& definitions_;
  TasksInFlight& in_flight_;
  std::function<void()> successors_ready_;
  std::optional<pg::Session> session_;
};

}  // namespace weir::pipeline
