#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/group_table.h"
#include "cli/group_words.h"
#include "cli/open_database.h"
#include "cli/stream_words.h"
#include "group/admin.h"
#include "group/overview.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kMostListed = 10'000;

std::optional<std::string> state_option(const Arguments& given) {
  const auto word = given.value("state");
  if (!word || std::find(std::begin(group::kBatchStates), std::end(group::kBatchStates), *word) !=
                   std::end(group::kBatchStates))
    return word;
  const auto near = closest(*word, group::kBatchStates);
  throw Error(ExitCode::usage,
              fmt::format("--state is '{}', which is none of: {}", printable(*word),
                          fmt::join(group::kBatchStates, ", ")),
              near ? fmt::format("Did you mean '{}'?", *near) : "See: weir help batch list");
}

/// A name is its group's; a number is anybody's.
void read_run(const Arguments& given, group::BatchFilter& filter) {
  const auto run = given.value("run");
  if (!run) return;
  if (filter.tenant && filter.key) {
    filter.run = run;
    return;
  }
  std::int64_t id = 0;
  const char* const end = run->data() + run->size();
  const auto parsed = std::from_chars(run->data(), end, id);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    throw Error(ExitCode::usage, fmt::format("'{}' is not the number of a run", printable(*run)),
                "The name of a run is one of its group: add --tenant T and --key K.");
  }
  filter.run_id = id;
}

ExitCode list(Context& context) {
  const Arguments& given = context.arguments;
  group::BatchFilter filter;
  filter.feed = feed_if_named(context);
  filter.sink = given.value("sink");
  filter.state = state_option(given);
  filter.tenant = given.value("tenant");
  filter.key = given.value("key");
  read_run(given, filter);
  if (filter.state == "upstream" && !filter.run && !filter.run_id)
    throw Error(ExitCode::usage, "--state upstream is for one run", "Name it with --run.");
  const bool ended = filter.state == "succeeded" || filter.state == "failed";
  if (given.has("since") && !ended)
    throw Error(ExitCode::usage, "--since is about batches that have ended",
                "Use it with --state succeeded or --state failed.");
  const int most = given.number("limit", 1, kMostListed).value_or(50);
  pg::Session session = open_database(context, "batch-list");
  if (filter.state == "succeeded" || given.has("since"))
    filter.since = stream_time(session, "since", given.value("since").value_or("1h"));
  // One more than is shown tells whether there are more.
  filter.most = most + 1;
  auto batches = group::list_batches(session, filter);
  const bool more = batches.size() > static_cast<std::size_t>(most);
  if (more) batches.pop_back();
  if (context.global.json) {
    ordered_json all = ordered_json::array();
    for (const auto& batch : batches) all.push_back(batch_json(batch));
    context.out.json({{"batches", all}, {"more", more}});
    return ExitCode::ok;
  }
  if (batches.empty()) {
    context.progress.note("no batches");
    return ExitCode::ok;
  }
  context.out.write(batches_table(batches, context.out.paint()));
  if (more) context.progress.note(fmt::format("there are more than these {}: --limit N shows more", most));
  return ExitCode::ok;
}

ExitCode show(Context& context) {
  const group::BatchId id =
      group::parse_batch_id(only_word(context, "which batch?", "weir batch show ID, such as 17.0"));
  pg::Session session = open_database(context, "batch-show");
  const group::BatchStory story = group::batch_story(session, id.run, id.idx.value_or(0));
  if (context.global.json) {
    context.out.json(story_json(story));
  } else {
    context.out.write(story_text(story, context.out.paint()));
  }
  return ExitCode::ok;
}

ExitCode lag(Context& context) {
  pg::Session session = open_database(context, "batch-lag");
  const auto sinks = group::sink_lag(session, feed_if_named(context), context.arguments.value("sink"));
  if (context.global.json) {
    const auto oldest = group::oldest_unclaimed(sinks);
    context.out.json(
        {{"oldest_unclaimed_seconds", oldest ? ordered_json(to_seconds(*oldest)) : ordered_json()},
         {"sinks", lag_json(sinks)}});
  } else if (sinks.empty()) {
    context.progress.note("no feed has a sink: weir feed sink FEED NAME adds one");
  } else {
    context.out.write(lag_text(sinks, context.out.paint()));
  }
  return ExitCode::ok;
}

ExitCode status(Context& context) {
  const int most = context.arguments.number("limit", 1, kMostListed).value_or(200);
  pg::Session session = open_database(context, "group-status");
  const auto feed = feed_if_named(context);
  const auto sink = context.arguments.value("sink");
  const auto sinks = group::sink_lag(session, feed, sink);
  auto groups = group::groups_in_flight(session, feed, sink, most + 1);
  const bool more = groups.size() > static_cast<std::size_t>(most);
  if (more) groups.pop_back();
  if (context.global.json) {
    const auto oldest = group::oldest_unclaimed(sinks);
    context.out.json(
        {{"oldest_unclaimed_seconds", oldest ? ordered_json(to_seconds(*oldest)) : ordered_json()},
         {"groups", in_flight_json(groups)},
         {"more", more},
         {"sinks", lag_json(sinks)}});
    return ExitCode::ok;
  }
  context.out.line(headline_text(sinks));
  if (groups.empty()) {
    context.progress.note("no group is in flight");
    return ExitCode::ok;
  }
  context.out.write("\n" + in_flight_text(groups, context.out.paint()));
  if (more) context.progress.note(fmt::format("there are more than these {}: --limit N shows more", most));
  return ExitCode::ok;
}

const OptionSpec kFeed{"feed", 0, "FEED", "of this feed only"};
const OptionSpec kSink{"sink", 0, "SINK", "of this sink only, of --feed (default)"};

}  // namespace

Command batch_list_command() {
  return {
      .path = "batch list",
      .summary = "show batches and their state at each sink",
      .description =
          "The newest first. With --state: pending and waiting_retry in the order in which they are taken,\n"
          "executing with the longest first, failed and succeeded with the last first, succeeded of the "
          "last\n"
          "hour or since --since. upstream: the sink before it has not passed it on.",
      .options = {kFeed,
                  kSink,
                  {"state", 0, "STATE",
                   "pending, executing, waiting_retry, succeeded, failed; with --run upstream"},
                  {"tenant", 0, "T", "of this tenant only"},
                  {"key", 0, "K", "of this key only"},
                  {"run", 0, "R", "of this run only: its number, or with --tenant and --key its name"},
                  {"since", 0, "TIME",
                   "with --state succeeded (default: 1h) or failed: that ended since then"},
                  {"limit", 0, "N", "so many at most (default: 50)"}},
      .examples = {{"weir batch list --state failed", ""},
                   {"weir batch list --tenant acme --key orders --run 2026-11-21", "one run"},
                   {"weir batch list --json", "one document: batches[], more"}},
      .run = list};
}

Command batch_show_command() {
  return {.path = "batch show",
          .summary =
              "show all about a batch: its payload, its state at each sink, all attempts with their errors",
          .description = "An id is a run and an index. Changes nothing.",
          .words = "ID",
          .examples = {{"weir batch show 17.0", ""}, {"weir batch show 17.0 --json | jq .attempts", ""}},
          .run = show};
}

Command batch_lag_command() {
  return {
      .path = "batch lag",
      .summary = "show what is before each sink, and for how long",
      .description =
          "The headline is the figure to watch: how long the oldest batch has been before a sink that "
          "nobody\n"
          "has begun. waiting: batches that nobody has begun, retrying among them; claimable: groups that\n"
          "nobody has and whose next batch could begin now; in flight: groups that consumers have. It reads\n"
          "what is before the sinks, not what they have done.",
      .options = {kFeed, kSink},
      .examples = {{"weir batch lag", ""},
                   {"weir batch lag --json | jq .oldest_unclaimed_seconds", "for an alert"}},
      .run = lag};
}

Command group_status_command() {
  return {
      .path = "group status",
      .summary = "show the groups that consumers have right now, and what they do with them",
      .description =
          "Those first of whom nothing was heard for the longest time: consumers give a sign of life with "
          "each\n"
          "batch, and three times a lease while one takes long. The headline is the one of weir batch lag.",
      .options = {kFeed, kSink, {"limit", 0, "N", "so many at most (default: 200)"}},
      .examples = {{"weir group status", ""},
                   {"weir group status --sink silver --json", "one document: groups[], sinks[]"}},
      .run = status};
}

}  // namespace weir::cli
