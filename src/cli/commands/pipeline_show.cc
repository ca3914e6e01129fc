// weir runs, explain, logs: what became of runs, and why.

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/wait.h"
#include "cli/commands.h"
#include "cli/open_database.h"
#include "cli/project/project.h"
#include "cli/project/run_target.h"
#include "cli/term/table.h"
#include "pipeline/run/explain.h"
#include "pipeline/time/preview.h"
#include "schema/queries/pipelines.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using pipeline::utc_text;

constexpr Duration kFollowEvery = std::chrono::milliseconds(500);

Color color_of(std::string_view state) {
  if (state == "success") return Color::green;
  if (state == "failed" || state == "upstream_failed") return Color::red;
  if (state == "running" || state == "ready" || state == "mapped") return Color::yellow;
  return Color::plain;
}

std::string span(std::optional<WallTime> from, std::optional<WallTime> to) {
  if (!from) return "";
  const WallTime until = to.value_or(std::chrono::floor<std::chrono::microseconds>(Clock::system().wall()));
  return until < *from ? "" : human_duration(until - *from);
}

ordered_json time_json(std::optional<WallTime> at) {
  return at ? ordered_json(utc_text(*at)) : ordered_json();
}

std::string amount(double value) {
  return value == std::floor(value) && value < 1e15 ? human_count(static_cast<std::int64_t>(value))
                                                    : fmt::format("{:.6g}", value);
}

/// "3 of 10 (30 %)", of what a running command has said of itself.
std::string progress_text(const ordered_json& progress) {
  if (!progress.is_object()) return {};
  const double done = progress.value("done", 0.0);
  if (!progress.contains("of")) return amount(done) + " done";
  const double of = progress.value("of", 0.0);
  return fmt::format("{} of {}{}", amount(done), amount(of),
                     of > 0 ? fmt::format(" ({:.0f} %)", std::floor(100 * done / of)) : "");
}

template <class Row>
ordered_json progress_of(const Row& row) {
  if (!row.progress) return {};
  ordered_json progress = ordered_json::parse(row.progress->text, nullptr, false);
  if (progress.is_object()) progress.erase("attempt");
  return progress;
}

ExitCode list_runs(Context& context, const std::optional<std::string>& pipeline) {
  const Arguments& given = context.arguments;
  pg::Session session = open_database(context, "runs");
  std::vector<std::string> wanted = given.values("state");
  for (const std::string& state : wanted) {
    constexpr std::array<std::string_view, 5> known{"queued", "running", "success", "failed", "cancelled"};
    if (std::find(known.begin(), known.end(), state) != known.end()) continue;
    const auto near = closest(state, known);
    throw Error(
        ExitCode::usage, fmt::format("'{}' is no state of a run", printable(state)),
        near ? fmt::format("Did you mean '{}'?", *near) : "queued, running, success, failed or cancelled");
  }
  // One that is gone from its project has runs still.
  if (pipeline && session.run<sql::FindPipeline>(*pipeline).empty()) find_pipeline(session, *pipeline);
  const std::vector<std::string_view> states(wanted.begin(), wanted.end());
  const int most = given.number("count", 1, 10'000).value_or(20);
  const auto rows = session.run<sql::ListRuns>(
      pipeline ? std::optional<std::string_view>(*pipeline) : std::nullopt, states, most);
  if (context.global.json) {
    ordered_json all = ordered_json::array();
    int shown = 0;
    for (const auto& row : rows) {
      if (++shown > most) break;
      all.push_back({{"run", row.id},
                     {"pipeline", row.pipeline},
                     {"kind", row.kind},
                     {"state", row.state},
                     {"version", row.version},
                     {"logical_at", utc_text(row.logical_at)},
                     {"created_at", utc_text(row.created_at)},
                     {"started_at", time_json(row.started_at)},
                     {"ended_at", time_json(row.ended_at)},
                     {"tasks", row.tasks},
                     {"ended", row.done},
                     {"running", row.running},
                     {"failed", row.failed}});
    }
    context.out.json({{"runs", all}});
    return ExitCode::ok;
  }
  Table table({{"RUN", Table::Align::right},
               {"PIPELINE"},
               {"FOR"},
               {"KIND"},
               {"STATE"},
               {"TASKS", Table::Align::right},
               {"TOOK"}});
  int shown = 0;
  for (const auto& row : rows) {
    if (++shown > most) break;
    table.add({std::to_string(row.id),
               std::string(row.pipeline),
               utc_text(row.logical_at),
               std::string(row.kind),
               {std::string(row.state), color_of(row.state)},
               fmt::format("{}/{}", row.done, row.tasks),
               span(row.started_at, row.ended_at)});
  }
  if (rows.empty()) {
    context.progress.note("there are no such runs");
    return ExitCode::ok;
  }
  context.out.write(table.render(context.out.paint()));
  return ExitCode::ok;
}

/// JSON of tasks and their pieces.
using OfTasks = std::map<std::pair<std::int32_t, std::int32_t>, std::string>;

template <class Row>
ordered_json json_of(const OfTasks& all, const Row& row) {
  const auto found = all.find({row.task_no, row.item});
  return found == all.end() ? ordered_json() : ordered_json::parse(found->second, nullptr, false);
}

/// What there is to say of a task in a line: how far it is, why it failed, what it put out.
template <class Row>
std::string says(const Row& row, const OfTasks& outputs) {
  constexpr std::size_t kShown = 100;
  if (row.progress) return progress_text(progress_of(row));
  if (row.error) return elide(std::string(*row.error), kShown);
  const auto found = outputs.find({row.task_no, row.item});
  return found == outputs.end() ? "" : elide(printable(found->second), kShown);
}

ExitCode show_run(Context& context, std::int64_t run) {
  pg::Session session = open_database(context, "runs");
  require_pipeline_run(session, run);
  const auto heads = session.run<sql::ShowRun>(run);
  const auto head = heads.one();
  const auto tasks = session.run<sql::ListTasks>(run);
  OfTasks outputs;
  for (const auto& row : session.run<sql::TaskOutputs>(run))
    outputs[{row.task_no, row.item}] = row.output.text;
  if (context.global.json) {
    OfTasks usages;
    for (const auto& row : session.run<sql::TaskUsages>(run))
      usages[{row.task_no, row.item}] = row.usage.text;
    ordered_json all = ordered_json::array();
    for (const auto& row : tasks) {
      all.push_back({{"task", row.name},
                     {"item", row.item < 0 ? ordered_json() : ordered_json(row.item)},
                     {"state", row.state},
                     {"attempt", row.attempt},
                     {"failures", row.failures},
                     {"pool", row.pool.value_or("")},
                     {"slots", row.slots},
                     {"ready_at", time_json(row.ready_at)},
                     {"started_at", time_json(row.started_at)},
                     {"ended_at", time_json(row.ended_at)},
                     {"progress", progress_of(row)},
                     {"output", json_of(outputs, row)},
                     {"usage", json_of(usages, row)},
                     {"error", row.error ? ordered_json(*row.error) : ordered_json()}});
    }
    context.out.json({{"run", run},
                      {"pipeline", head.pipeline},
                      {"kind", head.kind},
                      {"state", head.state},
                      {"version", head.version},
                      {"logical_at", utc_text(head.logical_at)},
                      {"interval_start", utc_text(head.interval_start)},
                      {"interval_end", utc_text(head.interval_end)},
                      {"created_at", utc_text(head.created_at)},
                      {"started_at", time_json(head.started_at)},
                      {"ended_at", time_json(head.ended_at)},
                      {"made_by", head.made_by},
                      {"params", ordered_json::parse(head.params.text, nullptr, false)},
                      {"tasks", all}});
    return ExitCode::ok;
  }
  context.out.line(fmt::format("run {} of {} (version {}, {}) for {}: {}", run, head.pipeline, head.version,
                               head.kind, utc_text(head.logical_at), head.state));
  Table table({{"TASK"}, {"STATE"}, {"TRIES", Table::Align::right}, {"TOOK"}, {"SAYS"}});
  for (const auto& row : tasks) {
    table.add({row.item < 0 ? std::string(row.name) : fmt::format("{}/{}", row.name, row.item),
               {std::string(row.state), color_of(row.state)},
               std::to_string(row.attempt),
               span(row.started_at, row.ended_at),
               says(row, outputs)});
  }
  if (!tasks.empty()) context.out.write(table.render(context.out.paint()));
  return ExitCode::ok;
}

ExitCode run_runs(Context& context) {
  const auto& words = context.arguments.words;
  if (words.size() > 1)
    throw Error(ExitCode::usage, "one pipeline, or one run", "Write: weir runs [PIPELINE|RUN]");
  if (words.empty()) return list_runs(context, std::nullopt);
  const bool is_number =
      std::all_of(words[0].begin(), words[0].end(), [](char c) { return c >= '0' && c <= '9'; });
  return is_number ? show_run(context, parse_run_target(words[0]).run) : list_runs(context, words[0]);
}

ExitCode run_explain(Context& context) {
  const auto& words = context.arguments.words;
  if (words.size() != 1)
    throw Error(ExitCode::usage, "which run, or task of it?", "Write: weir explain RUN[/TASK]");
  const RunTarget target = parse_run_target(words[0]);
  pg::Session session = open_database(context, "explain");
  require_pipeline_run(session, target.run);
  const auto explanation =
      target.task.empty()
          ? pipeline::explain_run(session, target.run)
          : pipeline::explain_task(session, target.run, find_task(session, target), target.item);
  if (!explanation)
    throw Error(
        ExitCode::usage,
        fmt::format("task {} of run {} has no piece {}", printable(target.task), target.run, target.item),
        fmt::format("weir runs {} lists what there is.", target.run));
  if (context.global.json) {
    context.out.json({{"subject", explanation->subject},
                      {"state", explanation->state},
                      {"reasons", explanation->reasons}});
    return ExitCode::ok;
  }
  context.out.line(fmt::format("{}: {}", printable(explanation->subject), explanation->state));
  for (const std::string& reason : explanation->reasons) context.out.line("  " + printable(reason));
  return ExitCode::ok;
}

class Logs {
 public:
  Logs(Context& context, pg::Session& session) : context_(context), session_(session) {}

  /// What is new of a task; answers whether there was any.
  bool show(const RunTarget& target, std::int32_t task, std::string_view name) {
    bool any = false;
    for (;;) {
      auto& seen = seen_[{task, target.item}];
      const auto rows =
          session_.run<sql::ReadTaskLog>(target.run, task, target.item, attempt(), seen.first, seen.second);
      for (const auto& row : rows) {
        line(name, row.attempt, row.number, row.stream, row.at, row.line);
        seen = {row.attempt, row.number};  // each attempt counts its lines from 1
      }
      any = any || !rows.empty();
      if (rows.size() < 5000) return any;
    }
  }

  /// How far it says that it is, where that has changed.
  void show_progress(std::string_view task, int attempt, const ordered_json& progress) {
    const std::string text = progress_text(progress);
    if (text.empty() || std::exchange(progress_[std::string(task)], text) == text) return;
    if (context_.global.json) {
      context_.out.json_line({{"task", task}, {"attempt", attempt}, {"progress", progress}});
    } else {
      context_.progress.step(fmt::format("{} {}", printable(task), text));
    }
  }

 private:
  std::optional<std::int32_t> attempt() const {
    const auto number = context_.arguments.number("attempt", 1, 1'000'000);
    return number ? std::optional<std::int32_t>(*number) : std::nullopt;
  }

  void line(std::string_view task, int attempt, std::int64_t number, std::string_view stream, WallTime at,
            std::string_view text) {
    if (context_.global.json) {
      context_.out.json_line({{"task", task},
                              {"attempt", attempt},
                              {"number", number},
                              {"stream", stream},
                              {"at", utc_text(at)},
                              {"line", text}});
    } else {
      context_.progress.clear();
      context_.out.line(fmt::format("{} {}{} {}", utc_text(at), task,
                                    stream == "out" ? "" : fmt::format(" [{}]", stream), printable(text)));
    }
  }

  Context& context_;
  pg::Session& session_;
  std::map<std::pair<std::int32_t, std::int32_t>, std::pair<std::int32_t, std::int64_t>> seen_;
  std::map<std::string, std::string> progress_;
};

ExitCode run_logs(Context& context) {
  const auto& words = context.arguments.words;
  if (words.size() != 1)
    throw Error(ExitCode::usage, "the log of which run, or task?", "Write: weir logs RUN[/TASK[/ITEM]]");
  const RunTarget target = parse_run_target(words[0]);
  pg::Session session = open_database(context, "logs");
  require_pipeline_run(session, target.run);
  constexpr std::int32_t kAll = -1;
  const std::int32_t task = target.task.empty() ? kAll : find_task(session, target);
  Logs logs(context, session);
  bool any = false;
  Wakeup wakeup;
  for (;;) {
    const auto heads = session.run<sql::ShowRun>(target.run);
    const bool ended = heads.empty() || heads[0].ended_at.has_value();
    for (const auto& row : session.run<sql::ListTasks>(target.run)) {
      if (task != kAll && (row.task_no != task || row.item != target.item)) continue;
      const std::string name =
          row.item < 0 ? std::string(row.name) : fmt::format("{}/{}", row.name, row.item);
      any = logs.show({.run = target.run, .item = row.item}, row.task_no, name) || any;
      if (row.progress && context.arguments.has("follow"))
        logs.show_progress(name, row.attempt, progress_of(row));
    }
    if (!context.arguments.has("follow") || ended) break;
    if (wait_fd(-1, 0, Deadline::after(kFollowEvery), context.stop, wakeup) == WaitEnd::stopped)
      return ExitCode::interrupted;
  }
  if (!any) context.progress.note("nothing was said");
  return ExitCode::ok;
}

}  // namespace

Command runs_command() {
  return {.path = "runs",
          .summary = "list runs of pipelines, or the tasks of one",
          .description = "Living runs first, then the newest of those that have ended.",
          .options = {{"state", 's', "STATE",
                       "queued, running, success, failed, cancelled; may be given several times"},
                      {"count", 'n', "N", "so many (default: 20)"}},
          .words = "[PIPELINE|RUN]",
          .examples = {{"weir runs", ""}, {"weir runs rates -s failed", ""}, {"weir runs 42", "its tasks"}},
          .run = run_runs};
}

Command explain_command() {
  return {.path = "explain",
          .summary = "say why a run or a task is where it is",
          .description =
              "What it waits for: tasks before it, a pool and who holds it, a pause, a time, a worker.",
          .words = "RUN[/TASK]",
          .examples = {{"weir explain 42", ""}, {"weir explain 42/load", ""}},
          .run = run_explain};
}

Command logs_command() {
  return {.path = "logs",
          .summary = "show what the tasks of a run said",
          .description = "Lines of standard output, of standard error ([err]) and of Weir itself ([weir]).",
          .options = {{"follow", 'f', "", "go on until the run has ended"},
                      {"attempt", 0, "N", "of this attempt alone"}},
          .words = "RUN[/TASK[/ITEM]]",
          .examples = {{"weir logs 42 -f", ""}, {"weir logs 42/load --attempt 2", ""}},
          .run = run_logs};
}

}  // namespace weir::cli
