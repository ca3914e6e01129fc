#include <algorithm>

#include <fmt/format.h>

#include "pipeline/run/running_task.h"
#include "pipeline/run/task_progress.h"
#include "pipeline/task/process_task.h"

namespace weir::pipeline {
namespace {

/// The numbers of the tasks that it chose; throws for one that does not come right after it.
std::vector<int> chosen(const RunningTask& running, const std::vector<std::string>& names) {
  std::vector<int> numbers;
  for (const std::string& name : names) {
    const auto& below = running.task.downstream;
    const auto found = std::find_if(below.begin(), below.end(), [&](int no) {
      return running.pipeline.tasks[static_cast<std::size_t>(no)].name == name;
    });
    if (found == below.end()) {
      throw Error(ExitCode::failed, fmt::format("it chose {}, which is no task right after it", name),
                  "A branch names tasks that have this one in their `after`.");
    }
    numbers.push_back(*found);
  }
  return numbers;
}

std::string usage_json(const exec::Usage& usage) {
  using std::chrono::milliseconds;
  return fmt::format(R"({{"user_ms":{},"system_ms":{},"max_rss_bytes":{}}})", usage.user / milliseconds(1),
                     usage.system / milliseconds(1), usage.max_rss_bytes);
}

}  // namespace

work::Outcome run_command_body(RunningTask& running, const RunBody& body) {
  TaskProgress progress(running.attempt);
  const auto attend = [&] {
    const SteadyTime now = std::chrono::steady_clock::now();
    return std::min(running.log.attend(running.session, now), progress.attend(running.session, now));
  };
  const auto result =
      run_process({.body = &body,
                   .context = &running.context,
                   .project = running.at.project,
                   .database_url = running.at.database_url,
                   .timeout = running.task.timeout,
                   .progress = [&](double done, std::optional<double> of) { progress.say(done, of); },
                   .attend = attend},
                  running.log, running.stop);
  running.attempt.result.usage = usage_json(result.usage);
  if (!result.reason.empty()) running.log.say(result.reason);
  switch (result.end) {
    case ProcessResult::End::success:
      if (result.output) running.attempt.result.output = *result.output;
      if (result.branch) running.attempt.result.follow = chosen(running, *result.branch);
      return work::Outcome::done();
    case ProcessResult::End::skipped: running.attempt.result.skipped = true; return work::Outcome::done();
    case ProcessResult::End::failed:
    case ProcessResult::End::timed_out: return work::Outcome::failed(result.reason);
    case ProcessResult::End::stopped: break;
  }
  return work::Outcome::returned();
}

}  // namespace weir::pipeline
