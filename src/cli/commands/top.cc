#include <algorithm>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/queue_table.h"
#include "cli/term/screen.h"
#include "cli/term/table.h"
#include "queue/figures.h"
#include "schema/schema_check.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using namespace std::chrono_literals;

struct View {
  std::vector<queue::QueueFigures> queues;
  std::vector<queue::ProcessFigures> processes;
};

View look(pg::Session& session) {
  View view{queue::queue_figures(session), queue::process_figures(session)};
  // What is busy comes first: the page may have no room for all.
  const auto weight = [](const queue::QueueFigures& queue) {
    return std::tuple(queue.done_rate > 0 || queue.running > 0, queue.waiting.count);
  };
  std::stable_sort(view.queues.begin(), view.queues.end(),
                   [&](const auto& a, const auto& b) { return weight(a) > weight(b); });
  return view;
}

std::string workers_text(const std::vector<queue::ProcessFigures>& processes, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"worker"},
               {"name"},
               {"lease", right},
               {"running", right},
               {"done", right},
               {"failed", right},
               {"done/s", right}});
  for (const queue::ProcessFigures& process : processes) {
    const bool lost = process.dead || process.lease < Duration::zero();
    table.add({std::to_string(process.id), process.name,
               lost ? Table::Cell("lost", Color::red) : Table::Cell(human_duration(process.lease)),
               human_count(process.running), human_count(process.done), human_count(process.failed),
               rate_text(process.done_rate)});
  }
  return table.render(paint);
}

std::string to_text(const View& view, const Paint& paint) {
  double rate = 0;
  for (const auto& queue : view.queues) rate += queue.done_rate;
  const std::string speed = rate_text(rate);
  std::string text = fmt::format("{} queues, {} workers, {} done\n\n", view.queues.size(),
                                 view.processes.size(), speed.empty() ? "0/s" : speed);
  text += queues_text(view.queues, paint);
  return text + "\n" + workers_text(view.processes, paint);
}

ordered_json to_json(const View& view) {
  ordered_json workers = ordered_json::array();
  for (const queue::ProcessFigures& process : view.processes) {
    workers.push_back({{"worker", process.id},
                       {"name", process.name},
                       {"dead", process.dead},
                       {"lease_seconds", to_seconds(process.lease)},
                       {"running", process.running},
                       {"done", process.done},
                       {"failed", process.failed},
                       {"done_per_second", process.done_rate}});
  }
  return {{"queues", queues_json(view.queues)}, {"workers", workers}};
}

/// Asks again and again, also after the server was away.
class Source {
 public:
  explicit Source(Context& context)
      : context_(context),
        connector_(connector_for(running_database(context.global, choose_database(context.global)))) {
    connect();
    schema::require_schema(*session_);
  }

  View look() { return cli::look(*session_); }

  /// Nothing while the server does not answer; `problem` then says why.
  std::optional<View> try_look(std::string& problem) {
    try {
      if (!session_ || !session_->is_open()) connect();
      return look();
    } catch (const pg::Error& error) {
      if (context_.stop.stop_requested()) return std::nullopt;
      if (error.kind() != pg::ErrorKind::connect && session_ && session_->is_open()) throw;
      session_.reset();
      problem = error.what();
      return std::nullopt;
    }
  }

 private:
  void connect() {
    session_.emplace(connector_.connect(pg::Role::api, "top", {.stop = context_.stop}));
    session_->set_stop(context_.stop);
  }

  Context& context_;
  pg::Connector connector_;
  std::optional<pg::Session> session_;
};

/// Until q or Ctrl-C.
void show_on_screen(Context& context, Source& source, Duration every) {
  Screen screen(STDOUT_FILENO, STDIN_FILENO);
  const Paint& paint = context.out.paint();
  std::string page;
  while (!context.stop.stop_requested()) {
    const Deadline next = Deadline::after(every);
    std::string problem;
    if (const auto view = source.try_look(problem)) {
      page = to_text(*view, paint);
      screen.draw(page + "\n" + paint(Color::dim, "q or Ctrl-C ends it"));
    } else if (!problem.empty()) {
      screen.draw(page + "\n" + paint(Color::red, "the server does not answer: ") + printable(problem));
    }
    while (!next.expired() && !context.stop.stop_requested()) {
      const auto key = screen.wait_key(next, context.stop);
      if (key == 'q' || key == 'Q') return;
    }
  }
}

void show_in_lines(Context& context, Source& source, Duration every) {
  Wakeup wakeup;
  for (;;) {
    const View view = source.look();
    if (context.global.json) {
      context.out.json_line(to_json(view));
    } else {
      context.out.write(to_text(view, context.out.paint()) + "\n");
    }
    if (wait_fd(-1, 0, Deadline::after(every), context.stop, wakeup) == WaitEnd::stopped) return;
  }
}

ExitCode run_top(Context& context) {
  const Duration every = context.arguments.duration("interval", 100ms, 1h).value_or(1s);
  Source source(context);
  if (context.arguments.has("once")) {
    const View view = source.look();
    if (context.global.json) {
      context.out.json(to_json(view));
    } else {
      context.out.write(to_text(view, context.out.paint()));
    }
    return ExitCode::ok;
  }
  try {
    const bool screen =
        !context.global.json && look_at_terminal(STDOUT_FILENO, context.global.color).overprint;
    if (screen) {
      show_on_screen(context, source, every);
    } else {
      show_in_lines(context, source, every);
    }
  } catch (const pg::Cancelled&) {
    // Ctrl-C in the middle of a question is its normal end, as between two of them.
    if (!context.stop.stop_requested()) throw;
  }
  return ExitCode::ok;
}

}  // namespace

Command top_command() {
  return {
      .path = "top",
      .summary = "watch queues and workers in the terminal",
      .description =
          "Queues (the busy ones first) with their waiting, running, later and dead jobs, what is done and "
          "failed a\n"
          "second, the age of the oldest job that waits, and how long jobs of the last seconds waited from "
          "their\n"
          "enqueueing to their begin (delayed and repeated ones not counted) and ran until the end of their "
          "batch; then\n"
          "the processes that work, with what is left of their lease. Ends with q or Ctrl-C. Where standard "
          "output is no terminal it prints a page each "
          "time.",
      .options = {{"interval", 0, "TIME", "between two looks (default: 1s)"}, {"once", 0, "", "look once"}},
      .examples = {{"weir top", ""},
                   {"weir top --once", "for scripts and mails"},
                   {"weir top --json", "a JSON line each time: queues[], workers[]"}},
      .run = run_top};
}

}  // namespace weir::cli
