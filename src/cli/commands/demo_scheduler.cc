#include "pipeline/demo_scheduler.h"

#include <optional>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/database.h"
#include "cli/scheduler_picture.h"
#include "cli/starting.h"
#include "cli/term/screen.h"
#include "cli/term/terminal.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using pipeline::SchedulerFigures;

ordered_json to_json(const SchedulerFigures& figures, const pipeline::SchedulerDemoOptions& options) {
  ordered_json states = ordered_json::array();
  for (const auto& way : figures.states) {
    states.push_back({{"way", way.way},
                      {"tasks", way.tasks},
                      {"done", way.done},
                      {"double_starts", way.double_starts},
                      {"lost_updates", way.lost_updates},
                      {"runs", way.runs},
                      {"wrong_runs", way.wrong_runs},
                      {"seconds", to_seconds(way.span)}});
  }
  ordered_json looks = ordered_json::array();
  for (const auto& look : figures.looks) {
    looks.push_back({{"way", look.way},
                     {"history", look.history},
                     {"pages", look.pages},
                     {"seconds", to_seconds(look.took)}});
  }
  ordered_json connections = ordered_json::array();
  for (const auto& way : figures.connections) {
    connections.push_back({{"way", way.way},
                           {"tasks", way.tasks},
                           {"done", way.done},
                           {"gave_up", way.gave_up},
                           {"waited", way.waited},
                           {"longest_wait_seconds", to_seconds(way.longest_wait)},
                           {"idle_in_transaction", way.idle_in_transaction},
                           {"connections", way.connections},
                           {"budget", way.budget},
                           {"seconds", to_seconds(way.span)}});
  }
  return {{"loops", options.loops},
          {"seed", options.seed},
          {"states", states},
          {"looks", looks},
          {"connections", connections}};
}

/// Shows the figures as they come: on a terminal again and again, elsewhere a line for each step.
class WatchingScheduler {
 public:
  explicit WatchingScheduler(Context& context) : context_(context) {
    if (!context.global.json && !context.global.quiet &&
        look_at_terminal(STDOUT_FILENO, context.global.color).overprint)
      screen_.emplace(STDOUT_FILENO, -1);
  }
  void step(std::string_view text) {
    step_ = text;
    if (screen_) {
      frame(last_);
    } else {
      context_.progress.step(text);
    }
  }
  void frame(const SchedulerFigures& figures) {
    if (!screen_) return;
    last_ = figures;
    const Paint& paint = context_.out.paint();
    screen_->draw(scheduler_picture(figures, paint) + "\n" + paint(Color::dim, step_ + "; Ctrl-C ends it"));
  }
  void close() {
    screen_.reset();
    context_.progress.clear();
  }

 private:
  Context& context_;
  std::optional<Screen> screen_;
  std::string step_;
  SchedulerFigures last_;
};

constexpr std::string_view kLegend =
    "\nstarted twice: starts beyond the first of their task; updates lost: ends that were written over by "
    "what "
    "another\n"
    "loop had read before; pages: that PostgreSQL went through; waited: not begun 100 ms after somebody was "
    "free;\n"
    "gave up: found no connection in time; idle in transaction, connections: at most at a time, of those "
    "there "
    "may be";

ExitCode run_demo_scheduler(Context& context) {
  require_private(choose_database(context.global), "demo scheduler");
  pipeline::SchedulerDemoOptions options;
  options.tasks = context.arguments.number("tasks", 1, 100'000).value_or(options.tasks);
  options.loops = context.arguments.number("loops", 1, 16).value_or(options.loops);
  options.history = context.arguments.number("history", 0, 10'000'000).value_or(options.history);
  options.seed = static_cast<std::uint64_t>(context.arguments.number("seed", 0, 1'000'000'000).value_or(1));
  options.stop = context.stop;
  const embedded::PrivateServer server = private_server(context.global);
  announce_start(context, server.status());
  embedded::ServerUse use = server.use(Deadline::after(kStartSpan), context.stop);
  SchedulerFigures figures;
  {
    WatchingScheduler watching(context);
    options.on_step = [&](std::string_view step) { watching.step(step); };
    options.on_frame = [&](const SchedulerFigures& frame) { watching.frame(frame); };
    figures = pipeline::run_scheduler_demo(pg::Conninfo::parse(use.status().url), options);
    watching.close();
  }
  context.progress.step("stopping");
  use.release(Deadline::after(kStopSpan));
  context.progress.clear();
  if (context.global.json) {
    context.out.json(to_json(figures, options));
    return ExitCode::ok;
  }
  context.out.write(scheduler_picture(figures, context.out.paint()));
  context.out.line(kLegend);
  return ExitCode::ok;
}

}  // namespace

Command demo_scheduler_command() {
  return {
      .path = "demo scheduler",
      .summary = "lost updates, scans of history, a starving pool; and Weir with the same tasks",
      .description =
          "Shows three diseases of schedulers that keep their state in PostgreSQL, each with real tables, "
          "and Weir with\n"
          "the same tasks. 1: several loops read tasks and runs and then write them by key. 2: a loop "
          "looks for work in a\n"
          "table that holds its history, without an index for it. 3: 16 executors share a pool of 5 "
          "connections, and hold\n"
          "them while they work. In a database of its own on the project's private PostgreSQL, which is "
          "dropped at the\n"
          "end. Takes less than a minute.",
      .options = {{"tasks", 0, "N", "so many tasks whose state is moved (default: 600)"},
                  {"loops", 0, "N", "so many schedulers at a time (default: 4)"},
                  {"history", 0, "N", "so many ended tasks in the end (default: 300000)"},
                  {"seed", 0, "N", "how long tasks hold their connections comes from it (default: 1)"}},
      .examples = {{"weir demo scheduler", ""},
                   {"weir demo scheduler --history 2000000",
                    "a longer history, which takes its time to be made"},
                   {"weir demo scheduler --json", "one document: states[], looks[], connections[]"}},
      .run = run_demo_scheduler};
}

}  // namespace weir::cli
