#include "load/demo_readers.h"

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/migrating.h"
#include "cli/readers_picture.h"
#include "cli/starting.h"
#include "cli/term/screen.h"
#include "cli/term/terminal.h"
#include "schema/schema_check.h"

namespace weir::cli {
namespace {

using load::ReadersDemoWay;
using nlohmann::ordered_json;

ordered_json to_json(const std::vector<ReadersDemoWay>& ways, const load::ReadersDemoOptions& options) {
  ordered_json all = ordered_json::array();
  for (const ReadersDemoWay& way : ways) {
    ordered_json timeline = ordered_json::array();
    for (const Duration took : way.reads.timeline) timeline.push_back(to_seconds(took));
    all.push_back({{"way", way.name},
                   {"seconds", to_seconds(way.lasted)},
                   {"reads", way.reads.reads},
                   {"longest_seconds", to_seconds(way.reads.longest)},
                   {"p99_seconds", to_seconds(way.reads.p99)},
                   {"empty", way.reads.empty},
                   {"mixed", way.reads.mixed},
                   {"waited", way.reads.waited},
                   {"replacements", way.replacements},
                   {"replacement_seconds", to_seconds(way.replacement)},
                   {"rows_written", way.rows_written},
                   {"wal_bytes", way.wal_bytes},
                   {"growth_bytes", way.growth_bytes},
                   {"strongest_lock", way.strongest_lock},
                   {"timeline_seconds", timeline}});
  }
  return {{"rows", options.rows},
          {"dashboards", options.dashboards},
          {"slot_seconds", to_seconds(load::demo::ReadFigures::kSlot)},
          {"results", all}};
}

/// The database that the command is about, running and with Weir's schema: the private server is started and
/// migrated for the demo; what somebody else looks after is taken as it is.
class Stage {
 public:
  explicit Stage(Context& context) : context_(context) {
    const DatabaseChoice choice = choose_database(context.global);
    if (choice.is_private()) {
      server_.emplace(private_server(context.global));
      announce_start(context, server_->status());
      use_ = std::make_unique<embedded::ServerUse>(server_->use(Deadline::after(kStartSpan), context.stop));
      conninfo_ = pg::Conninfo::parse(use_->status().url);
      migrate_database(context, connector_for(conninfo_));
    } else {
      conninfo_ = *choice.given;
      pg::Session session = connector_for(conninfo_).connect(pg::Role::api, "demo", {.stop = context.stop});
      schema::require_schema(session);
    }
  }

  [[nodiscard]] std::shared_ptr<const pg::Connector> connector() const {
    return std::make_shared<const pg::Connector>(conninfo_,
                                                 pg::Connector::Options{.users_search_path = true});
  }

  void leave() {
    if (!use_) return;
    context_.progress.step("stopping");
    use_->release(Deadline::after(kStopSpan));
  }

 private:
  Context& context_;
  std::optional<embedded::PrivateServer> server_;
  std::unique_ptr<embedded::ServerUse> use_;
  pg::Conninfo conninfo_;
};

/// Shows the ways as they go: the picture again and again on a terminal, a line for each replacement
/// elsewhere.
class WatchingReaders {
 public:
  explicit WatchingReaders(Context& context) : context_(context) {
    if (!context.global.json && !context.global.quiet &&
        look_at_terminal(STDOUT_FILENO, context.global.color).overprint) {
      screen_.emplace(STDOUT_FILENO, -1);
    }
  }

  void step(std::string_view text) {
    if (screen_) {
      screen_->draw(std::string(text) + "\n");
    } else {
      context_.progress.step(text);
    }
  }

  void frame(std::span<const ReadersDemoWay> ways) {
    const Paint& paint = context_.out.paint();
    if (screen_) {
      screen_->draw(
          readers_picture(ways, terminal_columns(STDOUT_FILENO), paint) + "\n" +
          paint(Color::dim,
                "how long a read took; the axis is thick while the table was replaced; Ctrl-C ends it"));
      return;
    }
    const ReadersDemoWay& now = ways.back();
    if (now.name == told_name_ && now.replacements == told_replacements_) return;
    told_name_ = now.name;
    told_replacements_ = now.replacements;
    context_.progress.step(now.replacements == 0
                               ? now.name
                               : fmt::format("{}: replaced {} time{}, longest read {}", now.name,
                                             now.replacements, now.replacements == 1 ? "" : "s",
                                             human_duration(now.reads.longest)));
  }

  void close() {
    screen_.reset();
    context_.progress.clear();
  }

 private:
  Context& context_;
  std::optional<Screen> screen_;
  std::string told_name_;
  int told_replacements_ = 0;
};

ExitCode run_demo_readers(Context& context) {
  load::ReadersDemoOptions options;
  options.rows = context.arguments.number("rows", 2'000, 10'000'000).value_or(options.rows);
  options.dashboards = context.arguments.number("dashboards", 1, 64).value_or(options.dashboards);
  if (const auto each = context.arguments.number("seconds", 1, 600))
    options.each = std::chrono::seconds(*each);
  options.stop = context.stop;
  Stage stage(context);
  std::vector<ReadersDemoWay> ways;
  {
    WatchingReaders watching(context);
    options.on_step = [&](std::string_view step) { watching.step(step); };
    options.on_frame = [&](std::span<const ReadersDemoWay> frame) { watching.frame(frame); };
    ways = load::run_readers_demo(stage.connector(), options);
    watching.close();
  }
  stage.leave();
  context.progress.clear();
  if (context.global.json) {
    context.out.json(to_json(ways, options));
    return ExitCode::ok;
  }
  const Paint& paint = context.out.paint();
  context.out.write(readers_picture(ways, terminal_columns(STDOUT_FILENO), paint) + "\n");
  context.out.write(readers_table(ways, paint));
  context.out.line(
      "\nempty, mixed: reads that found no rows, or rows of two generations; waited: reads that pg_locks had "
      "waiting;\n"
      "took: the longest replacement; WAL: of one replacement; growth: of the table, by all of them");
  return ExitCode::ok;
}

}  // namespace

Command demo_readers_command() {
  return {.path = "demo readers",
          .summary = "dashboards read a table while it is replaced: by TRUNCATE, by DELETE, by Weir",
          .description =
              "Fills a table in schema weir_demo, which is dropped at the end, and replaces it again and "
              "again in three\n"
              "ways, with one row of a hundred changed each time. Meanwhile dashboards read it (READ "
              "COMMITTED, REPEATABLE\n"
              "READ, PREPARE and EXECUTE), and now and then somebody runs a query of 2 s. Shows how long "
              "reads took, over\n"
              "time, and what they saw. The private PostgreSQL is started for it; of another database Weir's "
              "schema has to\n"
              "be there, and its log grows by some hundred megabytes. Takes less than a minute.",
          .options = {{"rows", 0, "N", "so many rows (default: 300000)"},
                      {"dashboards", 0, "N", "so many dashboards (default: 6)"},
                      {"seconds", 0, "N", "for each way (default: 12)"}},
          .examples = {{"weir demo readers", ""},
                       {"weir demo readers --rows 1000000 --seconds 30", "longer waits are easier to see"},
                       {"weir demo readers --json", "one document: results[]"}},
          .run = run_demo_readers};
}

}  // namespace weir::cli
