#include <deque>

#include <fmt/format.h>

#include "pipeline/run/running_task.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {
namespace {

constexpr int kMostPieces = 100'000;

}  // namespace

work::Outcome expand_task(RunningTask& running, const MapSource& map) {
  std::deque<std::string> texts;
  std::vector<pg::JsonView> elements;
  if (map.sql.empty()) {
    for (const std::string& element : map.list) elements.push_back({element});
  } else {
    const pg::Result rows = ask(
        running, running.session,
        fmt::format("SELECT pg_catalog.to_jsonb(e)::text FROM ({}\n) e LIMIT {}", map.sql, kMostPieces + 1));
    if (rows.rows() > kMostPieces) {
      throw Error(ExitCode::failed,
                  fmt::format("it would be cut into more than {} pieces, which is the most", kMostPieces),
                  "Let a piece have more to do: select ranges instead of rows.");
    }
    for (int i = 0; i < rows.rows(); ++i)
      elements.push_back({texts.emplace_back(rows[i].get<std::string>(0))});
  }
  const TaskKey& key = running.attempt.key;
  const auto expanded = running.session.run<sql::ExpandTask>(
      running.attempt.worker, running.attempt.claim, key.run, key.no, elements,
      map.max_parallel ? std::optional<std::int32_t>(*map.max_parallel) : std::nullopt);
  if (!expanded.one().expanded)
    throw Error(ExitCode::failed, "the task was taken from this process meanwhile");
  running.log.say(fmt::format("cut into {} pieces", elements.size()));
  const auto state = elements.empty() ? TaskNews::State::untold : TaskNews::State::ready;
  return written(running, {{key, state}});
}

}  // namespace weir::pipeline
