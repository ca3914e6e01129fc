#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "exec/conversation.h"
#include "pipeline/define/definition.h"
#include "pipeline/task/process_message.h"
#include "pipeline/task/task_context.h"
#include "pipeline/task/task_log.h"

namespace weir::pipeline {

struct ProcessTask {
  const RunBody* body = nullptr;
  const TaskContext* context = nullptr;
  std::filesystem::path project;              ///< the working folder, and where relative paths begin
  std::optional<std::string> database_url{};  ///< for a body that asks for it
  std::optional<Duration> timeout{};
  Duration grace = std::chrono::seconds(5);  ///< from SIGTERM to SIGKILL
  std::size_t longest_message = std::size_t{1} << 20U;
  std::function<void(double done, std::optional<double> of)> progress{};
  /// For what happens beside it while it runs: called whenever it has said something, and at the instant that
  /// the last call has answered.
  std::function<SteadyTime()> attend{};
};

struct ProcessResult {
  enum class End { success, skipped, failed, timed_out, stopped };
  End end = End::success;
  std::string reason;  ///< why, unless it succeeded: one line, and the last words of its standard error
  std::optional<int> exit_status{};                  ///< nothing when a signal ended it
  std::optional<std::string> output{};               ///< JSON; the last one said
  std::optional<std::vector<std::string>> branch{};  ///< the tasks to go on with
  exec::Usage usage{};
  int strays = 0;  ///< processes that were found by their mark, and killed
};

/// Runs a program to its end, or to the timeout or a stop: SIGTERM to its process group, SIGKILL after the
/// grace. Nothing of its group is left then; of what has left the group, what it shows by holding the output
/// open is killed, and after a timeout or a stop everything that it started. Throws Error where the program
/// cannot be started, or a value of its arguments or environment is missing.
ProcessResult run_process(const ProcessTask& task, LogSink& log, const std::stop_token& stop);

/// What it would run, with its environment; for run_process and for looking at.
exec::Command process_command(const ProcessTask& task);

/// Takes what would lead a program to the state database out of its environment, as far as the command does
/// not set it itself.
void hide_server(exec::Command& command);

}  // namespace weir::pipeline
