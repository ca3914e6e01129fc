#include "queue/demo_workers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/starting.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using queue::DemoResult;

std::string to_text(const std::vector<DemoResult>& results, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"4 workers, the same events"},
               {"events/s", right},
               {"processed", right},
               {"duplicates", right},
               {"lost", right},
               {"left", right},
               {"time", right}});
  const auto bad_if_any = [](std::int64_t count) {
    return Table::Cell(human_count(count), count > 0 ? Color::red : Color::green);
  };
  for (const DemoResult& result : results) {
    table.add({result.name, human_count(static_cast<std::int64_t>(result.rate())),
               human_count(result.processed), bad_if_any(result.duplicates), bad_if_any(result.lost),
               human_count(result.events - result.processed), human_duration(result.span)});
  }
  return table.render(paint);
}

ordered_json to_json(const std::vector<DemoResult>& results) {
  ordered_json all = ordered_json::array();
  for (const DemoResult& result : results) {
    all.push_back({{"way", result.name},
                   {"events", result.events},
                   {"processed", result.processed},
                   {"duplicates", result.duplicates},
                   {"lost", result.lost},
                   {"seconds", to_seconds(result.span)},
                   {"events_per_second", result.rate()}});
  }
  return {{"workers", 4}, {"results", all}};
}

ExitCode run_demo_workers(Context& context) {
  require_private(choose_database(context.global), "demo workers");
  queue::DemoOptions options;
  options.events = context.arguments.number("events", 1, 1'000'000).value_or(options.events);
  options.on_step = [&](std::string_view step) { context.progress.step(step); };
  options.stop = context.stop;
  const embedded::PrivateServer server = private_server(context.global);
  announce_start(context, server.status());
  embedded::ServerUse use = server.use(Deadline::after(kStartSpan), context.stop);
  const auto results = queue::run_workers_demo(pg::Conninfo::parse(use.status().url), options);
  context.progress.step("stopping");
  use.release(Deadline::after(kStopSpan));
  context.progress.clear();
  if (context.global.json) {
    context.out.json(to_json(results));
    return ExitCode::ok;
  }
  context.out.write(to_text(results, context.out.paint()));
  context.out.line(
      "\nduplicates: an event that took effect more than once; lost: marked as done, without its effect;\n"
      "left: not done when the time was over");
  return ExitCode::ok;
}

}  // namespace

Command demo_workers_command() {
  return {.path = "demo workers",
          .summary = "many workers on one table of events: without locks, with SKIP LOCKED, with Weir",
          .description =
              "Fills a partitioned table of events on the project's private PostgreSQL, in a database of its "
              "own that is\n"
              "dropped at the end, and has four workers process it in three ways. Those that poll begin "
              "together: all\n"
              "have read before one marks. Every figure is counted in the table of effects. Takes less than "
              "a minute;\n"
              "each way ends after 15 s, done or not.",
          .options = {{"events", 0, "N", "so many events (default: 20000)"}},
          .examples = {{"weir demo workers", ""}, {"weir demo workers --json", "one document: results[]"}},
          .run = run_demo_workers};
}

}  // namespace weir::cli
