// weir retry, cancel, clear, mark, pause, resume: what people do to runs.

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/open_database.h"
#include "cli/project/project.h"
#include "cli/project/run_target.h"
#include "pipeline/run/task_endings.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "schema/queries/work.h"

namespace weir::cli {
namespace {

const std::string& one_word(const Context& context, std::string_view what, std::string_view usage) {
  const auto& words = context.arguments.words;
  if (words.size() == 1) return words.front();
  throw Error(ExitCode::usage,
              words.empty() ? fmt::format("which {}?", what) : fmt::format("one {} at a time", what),
              fmt::format("Write: weir {}", usage));
}

std::string tasks_text(std::int64_t tasks) { return fmt::format("{} task{}", tasks, tasks == 1 ? "" : "s"); }

/// What a change leaves to do: tell successors, end the run.
void carry_out(pg::Session& session, std::int64_t run) {
  pipeline::Aftermath aftermath;
  std::vector<pipeline::TaskNews> news;
  for (const auto& row : session.run<sql::UntoldOfRun>(run))
    news.push_back({{row.run_id, row.task_no, row.item}, pipeline::to_news(row.state)});
  aftermath.add(news);
  aftermath.carry_out(session);
  if (aftermath.ready) session.run<sql::WakeTopic>("task", 2);
}

/// Whether it has its turn; one without work left may have ended by now.
bool is_queued(pg::Session& session, std::int64_t run) {
  const auto rows = session.run<sql::ShowRun>(run);
  return !rows.empty() && rows[0].state == "queued";
}

void tell_begun(Context& context, pg::Session& session, std::int64_t run, std::int64_t tasks) {
  const bool queued = is_queued(session, run);
  if (context.global.json) {
    context.out.json({{"run", run}, {"change", "begin again"}, {"tasks", tasks}, {"queued", queued}});
    return;
  }
  context.out.line(fmt::format("run {}: {} begin{} again{}", run, tasks_text(tasks), tasks == 1 ? "s" : "",
                               queued ? " when it has its turn" : ""));
  if (queued) context.progress.note(fmt::format("why not now: weir explain {}", run));
  tell_where_nobody_works(context, session);
}

/// Server errors that are about what the user asked for.
template <class Action>
void asking(Action&& action) {
  try {
    action();
  } catch (const pg::Error& error) {
    const std::string& state = error.info().sqlstate;
    if (state == "55006") {
      throw Error(ExitCode::refused, error.info().message, "Cancel the run first, or wait for its end.");
    }
    if (state == "55000") throw Error(ExitCode::refused, error.info().message, error.info().hint);
    if (state == "P0002" || state == "22023") throw Error(ExitCode::usage, error.info().message);
    throw;
  }
}

/// Without tasks: all of them.
std::int64_t begin_again(pg::Session& session, std::int64_t run, const std::vector<std::int32_t>& tasks) {
  std::int64_t count = 0;
  asking([&] {
    const auto answer = session.run<sql::BeginAgain>(run, tasks);
    const auto begun = answer.one().tasks;
    if (!begun) require_pipeline_run(session, run);
    count = begun.value_or(0);
  });
  carry_out(session, run);
  return count;
}

ExitCode run_retry(Context& context) {
  const RunTarget target = parse_run_target(one_word(context, "run", "retry RUN[/TASK]"));
  pg::Session session = open_database(context, "retry");
  require_pipeline_run(session, target.run);
  std::vector<std::int32_t> tasks;
  if (!target.task.empty()) {
    tasks.push_back(find_task(session, target));
  } else {
    for (const auto& row : session.run<sql::ListTasks>(target.run)) {
      if (row.item < 0 && (row.state == "failed" || row.state == "cancelled")) tasks.push_back(row.task_no);
    }
  }
  if (tasks.empty()) {
    throw Error(ExitCode::refused, fmt::format("nothing of run {} has failed", target.run),
                fmt::format("Name the task to begin with: weir retry {}/TASK", target.run));
  }
  tell_begun(context, session, target.run, begin_again(session, target.run, tasks));
  return ExitCode::ok;
}

ExitCode run_clear(Context& context) {
  const RunTarget target = parse_run_target(one_word(context, "run", "clear RUN[/TASK]"));
  pg::Session session = open_database(context, "clear");
  require_pipeline_run(session, target.run);
  std::vector<std::int32_t> tasks;
  if (!target.task.empty()) tasks.push_back(find_task(session, target));
  tell_begun(context, session, target.run, begin_again(session, target.run, tasks));
  return ExitCode::ok;
}

ExitCode run_cancel(Context& context) {
  const RunTarget target = parse_run_target(one_word(context, "run", "cancel RUN"));
  if (!target.task.empty()) {
    throw Error(ExitCode::usage, "a whole run is cancelled, not one of its tasks",
                fmt::format("Write: weir cancel {}, or weir mark {}/{} failed", target.run, target.run,
                            printable(target.task)));
  }
  pg::Session session = open_database(context, "cancel");
  const auto answer = session.run<sql::CancelRun>(target.run);
  const std::string outcome(answer.one().outcome);
  if (outcome == "missing") {
    require_pipeline_run(session, target.run);
    const auto ended = session.run<sql::ShowRun>(target.run);
    throw Error(ExitCode::refused, fmt::format("run {} has ended already: {}", target.run, ended.one().state),
                fmt::format("weir retry {} begins again what failed of it, weir clear {} all of it.",
                            target.run, target.run));
  }
  carry_out(session, target.run);
  if (context.global.json) {
    context.out.json({{"run", target.run}, {"outcome", outcome}});
  } else {
    context.out.line(fmt::format("run {}: {}", target.run,
                                 outcome == "stopping" ? "what runs is told to stop" : "cancelled"));
  }
  return ExitCode::ok;
}

void check_mark(const std::string& state) {
  constexpr std::array<std::string_view, 3> kMarks{"success", "failed", "skipped"};
  if (std::find(kMarks.begin(), kMarks.end(), state) != kMarks.end()) return;
  const auto near = closest(state, kMarks);
  throw Error(ExitCode::usage, fmt::format("'{}' is nothing that becomes of a task", printable(state)),
              near ? fmt::format("Did you mean '{}'?", *near) : "success, failed or skipped");
}

ExitCode run_mark(Context& context) {
  const auto& words = context.arguments.words;
  if (words.size() != 2)
    throw Error(ExitCode::usage, "a mark needs a task and what became of it",
                "Write: weir mark RUN/TASK success|failed|skipped");
  const RunTarget target = parse_run_target(words[0]);
  if (target.task.empty())
    throw Error(ExitCode::usage, fmt::format("which task of run {}?", target.run),
                fmt::format("Write: weir mark {}/TASK success|failed|skipped", target.run));
  check_mark(words[1]);
  pg::Session session = open_database(context, "mark");
  require_pipeline_run(session, target.run);
  const std::int32_t task = find_task(session, target);
  std::int64_t count = 0;
  asking([&] {
    const auto answer = session.run<sql::MarkTask>(target.run, task, words[1]);
    count = answer.one().tasks;
  });
  carry_out(session, target.run);
  if (context.global.json) {
    context.out.json({{"run", target.run}, {"change", "after it are decided anew"}, {"tasks", count}});
  } else {
    context.out.line(fmt::format("run {}: {} is marked {}; {}", target.run, printable(target.task), words[1],
                                 count == 0 ? "no task comes after it"
                                            : fmt::format("{} after it {} decided anew", tasks_text(count),
                                                          count == 1 ? "is" : "are")));
  }
  return ExitCode::ok;
}

ExitCode set_paused(Context& context, bool paused) {
  const std::string& name = one_word(context, "pipeline", paused ? "pause PIPELINE" : "resume PIPELINE");
  pg::Session session = open_database(context, paused ? "pause" : "resume");
  const DeployedPipeline found = find_pipeline(session, name);
  session.run<sql::PausePipeline>(found.id, paused);
  if (!paused) session.run<sql::StartRuns>(found.id);
  if (context.global.json) {
    context.out.json({{"pipeline", name}, {"paused", paused}, {"changed", found.paused != paused}});
  } else {
    context.out.line(
        fmt::format("{} {}", name, paused ? "is paused: only runs by hand are started" : "goes on"));
  }
  return ExitCode::ok;
}

}  // namespace

Command retry_command() {
  return {
      .path = "retry",
      .summary = "begin again what failed in a run, or a task and what comes after it",
      .description =
          "Tasks that succeeded and come before stay as they are. The run keeps its version and parameters.\n"
          "One that has ended waits for its turn as any other: max_active_runs holds for it, too.",
      .words = "RUN[/TASK]",
      .examples = {{"weir retry 42", "what failed"}, {"weir retry 42/load", "from load on"}},
      .run = run_retry};
}

Command clear_command() {
  return {.path = "clear",
          .summary = "have a task, or a whole run, done once more",
          .description = "As retry, whatever became of it.",
          .words = "RUN[/TASK]",
          .examples = {{"weir clear 42", ""}},
          .run = run_clear};
}

Command cancel_command() {
  return {.path = "cancel",
          .summary = "end a run",
          .description =
              "What has not begun is cancelled; what runs is told to stop, and killed after its grace.",
          .words = "RUN",
          .examples = {{"weir cancel 42", ""}},
          .run = run_cancel};
}

Command mark_command() {
  return {.path = "mark",
          .summary = "say what became of a task",
          .description =
              "A running one is stopped, and its result not accepted. What comes after it is decided anew.",
          .words = "RUN/TASK success|failed|skipped",
          .examples = {{"weir mark 42/load success", "it was mended by hand"}},
          .run = run_mark};
}

Command pause_command() {
  return {.path = "pause",
          .summary = "start no more runs of a pipeline, except by hand",
          .description =
              "Runs that have begun go on. Times that pass are missed, as its schedule says under `missed`.",
          .words = "PIPELINE",
          .examples = {{"weir pause rates", ""}},
          .run = [](Context& context) { return set_paused(context, true); }};
}

Command resume_command() {
  return {.path = "resume",
          .summary = "let a paused pipeline go on",
          .words = "PIPELINE",
          .examples = {{"weir resume rates", ""}},
          .run = [](Context& context) { return set_paused(context, false); }};
}

}  // namespace weir::cli
