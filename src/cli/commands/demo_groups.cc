#include "group/demo_groups.h"

#include <optional>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/groups_picture.h"
#include "cli/starting.h"
#include "cli/term/screen.h"
#include "cli/term/terminal.h"

namespace weir::cli {
namespace {

using group::GroupsDemoWay;
using nlohmann::ordered_json;

ordered_json to_json(const std::vector<GroupsDemoWay>& ways, const group::GroupsDemoOptions& options) {
  ordered_json all = ordered_json::array();
  for (const GroupsDemoWay& way : ways) {
    all.push_back({{"way", way.name},
                   {"seconds", to_seconds(way.lasted)},
                   {"batches", way.batches},
                   {"twice", way.twice},
                   {"refused", way.refused},
                   {"taken_away", way.taken},
                   {"longest_silence_seconds", to_seconds(way.silence)},
                   {"longest_standstill_seconds", to_seconds(way.standstill)},
                   {"connections", way.connections},
                   {"timeline_batches", way.timeline}});
  }
  return {{"groups", options.groups},
          {"lease_seconds", to_seconds(options.lease())},
          {"blocked_seconds", to_seconds(options.blocked())},
          {"slot_seconds", to_seconds(GroupsDemoWay::kSlot)},
          {"results", all}};
}

/// Shows the ways as they go: the picture again and again on a terminal, a line for each lock that somebody
/// takes elsewhere.
class Watching {
 public:
  explicit Watching(Context& context) : context_(context) {
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

  void frame(std::span<const GroupsDemoWay> ways) {
    const Paint& paint = context_.out.paint();
    if (screen_) {
      screen_->draw(groups_picture(ways, terminal_columns(STDOUT_FILENO), paint) + "\n" +
                    paint(Color::dim,
                          "batches that ended in a second; the axis is thick while somebody holds a row that "
                          "one group needs; Ctrl-C ends it"));
      return;
    }
    const GroupsDemoWay& now = ways.back();
    if (now.name == told_name_ && now.blocked.size() == told_blocked_) return;
    told_name_ = now.name;
    told_blocked_ = now.blocked.size();
    context_.progress.step(now.blocked.empty()
                               ? now.name
                               : fmt::format("{}: somebody holds a row; {} batches, {} done twice", now.name,
                                             human_count(now.batches), human_count(now.twice)));
  }

  void close() {
    screen_.reset();
    context_.progress.clear();
  }

 private:
  Context& context_;
  std::optional<Screen> screen_;
  std::string told_name_;
  std::size_t told_blocked_ = 0;
};

constexpr std::string_view kLegend =
    "\ndone twice: effects beyond the first of their batch; refused: ends that came after the group was "
    "lost;\n"
    "taken away: batches whose owner was alive, and could not say so; silence: the longest that a group in "
    "work\n"
    "that nobody blocked gave no sign of life; nothing done: the longest that no batch of any group ended";

ExitCode run_demo_groups(Context& context) {
  require_private(choose_database(context.global), "demo groups");
  group::GroupsDemoOptions options;
  options.groups = static_cast<int>(context.arguments.number("groups", 2, 32).value_or(options.groups));
  if (const auto each = context.arguments.number("seconds", 8, 600))
    options.each = std::chrono::seconds(*each);
  options.stop = context.stop;
  const embedded::PrivateServer server = private_server(context.global);
  announce_start(context, server.status());
  embedded::ServerUse use = server.use(Deadline::after(kStartSpan), context.stop);
  std::vector<GroupsDemoWay> ways;
  {
    Watching watching(context);
    options.on_step = [&](std::string_view step) { watching.step(step); };
    options.on_frame = [&](std::span<const GroupsDemoWay> frame) { watching.frame(frame); };
    ways = group::run_groups_demo(pg::Conninfo::parse(use.status().url), options);
    watching.close();
  }
  context.progress.step("stopping");
  use.release(Deadline::after(kStopSpan));
  context.progress.clear();
  if (context.global.json) {
    context.out.json(to_json(ways, options));
    return ExitCode::ok;
  }
  const Paint& paint = context.out.paint();
  context.out.write(groups_picture(ways, terminal_columns(STDOUT_FILENO), paint) + "\n");
  context.out.write(groups_table(ways, paint));
  context.out.line(kLegend);
  return ExitCode::ok;
}

}  // namespace

Command demo_groups_command() {
  return {
      .path = "demo groups",
      .summary = "the wedge of a shared connection; and Weir with the same groups",
      .description =
          "Groups of ordered batches are in work, and twice somebody else holds a row that one of them "
          "needs. First all\n"
          "groups, their heartbeats and the poll loop share one connection, as in many consumers: the "
          "statement that waits\n"
          "holds up all of them, their leases run out, and what they finish is refused and done again. "
          "Then Weir, with a\n"
          "connection for each group. In a database of its own on the project's private PostgreSQL, which "
          "is dropped at\n"
          "the end. Takes less than a minute.",
      .options = {{"groups", 0, "N", "so many groups, all in work (default: 8)"},
                  {"seconds", 0, "N", "for each way, at least 8; a quarter of it is one lock (default: 16)"}},
      .examples = {{"weir demo groups", ""},
                   {"weir demo groups --seconds 40", "longer locks are easier to see"},
                   {"weir demo groups --json", "one document: results[]"}},
      .run = run_demo_groups};
}

}  // namespace weir::cli
