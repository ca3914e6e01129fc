#include "cli/project/run_target.h"

#include <charconv>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "schema/queries/pipelines.h"

namespace weir::cli {
namespace {

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

}  // namespace

RunTarget parse_run_target(const std::string& word) {
  const std::size_t slash = word.find('/');
  const auto run = number_of<std::int64_t>(std::string_view(word).substr(0, slash));
  if (!run) {
    throw Error(ExitCode::usage, fmt::format("'{}' is no run", printable(word)),
                "Write its number, or RUN/TASK, such as 42/load. weir runs lists them.");
  }
  RunTarget target{.run = *run};
  if (slash == std::string::npos) return target;
  target.task = word.substr(slash + 1);
  // A task's name may have slashes itself; an item is a number at the end.
  const std::size_t last = target.task.rfind('/');
  if (last != std::string::npos) {
    if (const auto item = number_of<std::int32_t>(std::string_view(target.task).substr(last + 1))) {
      target.item = *item;
      target.task.resize(last);
    }
  }
  return target;
}

void require_pipeline_run(pg::Session& session, std::int64_t run) {
  if (!session.run<sql::ShowRun>(run).empty()) return;
  throw Error(ExitCode::usage, fmt::format("there is no run {}", run),
              "weir runs lists them; what is older than the project's history is gone.");
}

std::int32_t find_task(pg::Session& session, const RunTarget& target) {
  std::vector<std::string> names;
  for (const auto& row : session.run<sql::ListTasks>(target.run)) {
    if (row.item >= 0) continue;
    if (row.name == target.task) return row.task_no;
    names.emplace_back(row.name);
  }
  if (names.empty()) require_pipeline_run(session, target.run);
  const std::vector<std::string_view> words(names.begin(), names.end());
  const auto near = closest(target.task, words);
  throw Error(ExitCode::usage, fmt::format("run {} has no task '{}'", target.run, printable(target.task)),
              near            ? fmt::format("Did you mean '{}'?", *near)
              : names.empty() ? std::string("It waits for its turn: its tasks are made when it starts.")
                              : fmt::format("weir runs {} lists them.", target.run));
}

}  // namespace weir::cli
