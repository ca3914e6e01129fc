#include "pipeline/run/task_endings.h"

#include <algorithm>
#include <deque>
#include <optional>

#include "base/json_text.h"
#include "base/text.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {
namespace {

/// In one transaction: who cancels the run waits for it.
constexpr std::int32_t kMostTold = 500;
/// Others may go on to end tasks of the runs that are told here, for as long as there are some; and whoever
/// tells has ends of his own to write.
constexpr int kMostRounds = 8;

/// What weir.finish_tasks() takes as details; empty where there are none.
std::string details_of(const TaskResult& result, bool snooze) {
  std::string json;
  const auto add = [&](std::string_view key, std::string_view value) {
    json += json.empty() ? "{" : ",";
    append_json_string(json, key);
    json += ":";
    json += value;
  };
  if (!result.output.empty()) add("output", result.output);
  if (!result.usage.empty()) add("usage", result.usage);
  if (snooze) add(result.lost.empty() ? "snooze" : "lost", "true");
  if (result.follow) {
    std::string list;
    for (const int no : *result.follow) list += (list.empty() ? "" : ",") + std::to_string(no);
    add("follow", "[" + list + "]");
  }
  if (!json.empty()) json += "}";
  return json;
}

}  // namespace

TaskNews::State to_news(std::string_view state) noexcept {
  if (state == "accepted") return TaskNews::State::accepted;
  if (state == "untold" || state == "skipped" || state == "upstream_failed" || state == "success" ||
      state == "failed" || state == "cancelled") {
    return TaskNews::State::untold;
  }
  if (state == "ready") return TaskNews::State::ready;
  if (state == "end") return TaskNews::State::end;
  return TaskNews::State::other;
}

std::vector<TaskNews> finish_tasks(pg::Session& session, std::int64_t worker,
                                   const std::vector<EndedAttempt>& ended) {
  std::vector<std::int64_t> claims;
  std::vector<std::int64_t> runs;
  std::vector<std::int32_t> nos;
  std::vector<std::int32_t> items;
  std::vector<std::string_view> states;
  std::vector<std::int64_t> delays;
  std::vector<std::optional<std::string_view>> errors;
  std::vector<std::optional<pg::JsonView>> details;
  std::deque<std::string> texts;
  for (const EndedAttempt& each : ended) {
    claims.push_back(each.attempt->claim);
    runs.push_back(each.attempt->key.run);
    nos.push_back(each.attempt->key.no);
    items.push_back(each.attempt->key.item);
    states.push_back(each.ending.state);
    delays.push_back(each.ending.delay / std::chrono::milliseconds(1));
    errors.push_back(each.error.empty()
                         ? std::nullopt
                         : std::optional<std::string_view>(texts.emplace_back(storable_text(each.error))));
    const std::string& json = texts.emplace_back(details_of(each.attempt->result, !each.ending.counts));
    details.push_back(json.empty() ? std::nullopt : std::optional(pg::JsonView{json}));
  }
  return to_news_of(
      session.run<sql::FinishTasks>(worker, claims, runs, nos, items, states, delays, errors, details));
}

void Aftermath::add(const std::vector<TaskNews>& news) {
  for (const TaskNews& each : news) {
    switch (each.state) {
      case TaskNews::State::untold: untold_.insert(each.key.run); break;
      case TaskNews::State::end: ended_.push_back(each.key.run); break;
      case TaskNews::State::ready: ready = true; break;
      case TaskNews::State::accepted:
      case TaskNews::State::other: break;
    }
  }
}

void Aftermath::carry_out(pg::Session& session) {
  for (int round = 0; round < kMostRounds && !untold_.empty(); ++round) tell(session);
  if (!ended_.empty()) end_runs(session);
  if (!pipelines_.empty()) start_runs(session);
}

void Aftermath::tell(pg::Session& session) {
  const std::vector<std::int64_t> runs(untold_.begin(), untold_.end());
  const auto news = to_news_of(session.run<sql::TellRuns>(runs, kMostTold));
  untold_.clear();
  add(news);
}

void Aftermath::end_runs(pg::Session& session) {
  for (const auto& row : session.run<sql::EndRuns>(ended_)) {
    pipelines_.push_back(row.pipeline_id);
    alerts = alerts || row.alerts > 0;
  }
  ended_.clear();
}

void Aftermath::start_runs(pg::Session& session) {
  std::sort(pipelines_.begin(), pipelines_.end());
  pipelines_.erase(std::unique(pipelines_.begin(), pipelines_.end()), pipelines_.end());
  for (const std::int32_t pipeline : pipelines_)
    ready = !session.run<sql::StartRuns>(pipeline).empty() || ready;
  pipelines_.clear();
}

}  // namespace weir::pipeline
