#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/group_table.h"
#include "cli/group_words.h"
#include "cli/open_database.h"
#include "cli/stream_words.h"
#include "group/admin.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;

constexpr Duration kLongest = 24h * 3650;
constexpr std::size_t kLongestName = 200;

/// What is kept is dropped by days: half of one would be none.
std::optional<Duration> whole_days(const Arguments& given, std::string_view option) {
  const auto span = given.duration(option, 24h, kLongest);
  if (!span || *span % 24h == Duration::zero()) return span;
  throw Error(ExitCode::usage,
              fmt::format("--{} is '{}', which is not whole days", option, printable(*given.value(option))),
              "Write it as 1d or 30d.");
}

group::FeedSettings settings_of(const Arguments& given) {
  return {.max_attempts = given.number("max-attempts", 1, 32'767),
          .backoff = given.duration("backoff", 0s, kLongest),
          .lease = given.duration("lease", 1s, 24h),
          .keep = whole_days(given, "keep"),
          .stranded = given.duration("stranded", 1s, kLongest)};
}

void check_name(std::string_view what, const std::string& name) {
  if (!name.empty() && name.size() <= kLongestName && name.find(':') == std::string::npos) return;
  throw Error(ExitCode::usage, fmt::format("'{}' is no name of a {}", printable(elide(name, 60)), what),
              fmt::format("A name has 1 to {} bytes, and no colon.", kLongestName));
}

/// Days are kept whole, whosever batches are in them.
void note_longest_keep(Context& context, pg::Session& session, const group::Feed& feed) {
  const auto feeds = group::list_feeds(session);
  const auto longest = std::max_element(feeds.begin(), feeds.end(),
                                        [](const auto& a, const auto& b) { return a.keep < b.keep; });
  if (longest == feeds.end() || longest->keep <= feed.keep) return;
  context.progress.note(fmt::format("all feeds are kept as long as the longest of them: {} has {}",
                                    printable(longest->name), human_duration(longest->keep)));
}

/// NAME, or NAME:AFTER.
group::SinkWish sink_wish(const std::string& word) {
  const std::size_t colon = word.find(':');
  group::SinkWish wish{.name = word.substr(0, colon)};
  check_name("sink", wish.name);
  if (colon != std::string::npos) check_name("sink", wish.after.emplace(word.substr(colon + 1)));
  return wish;
}

std::string of_feed(const Context& context, std::string_view usage) {
  return only_word(context, "which feed?", usage);
}

void tell(Context& context, const group::Feed& feed, const std::string& line) {
  if (context.global.json) {
    context.out.json(feed_json(feed));
  } else {
    context.out.line(line);
  }
}

ExitCode create(Context& context) {
  const std::string name = of_feed(context, "weir feed create NAME [--sink NAME[:AFTER]]..");
  check_name("feed", name);
  const group::FeedSettings settings = settings_of(context.arguments);
  std::vector<group::SinkWish> sinks;
  for (const std::string& word : context.arguments.values("sink")) {
    const group::SinkWish& wish = sinks.emplace_back(sink_wish(word));
    const auto is = [&](const std::string& other) {
      return [&](const group::SinkWish& one) { return one.name == other; };
    };
    if (std::count_if(sinks.begin(), sinks.end(), is(wish.name)) > 1)
      throw Error(ExitCode::usage, fmt::format("two sinks are called {}", printable(wish.name)),
                  "Each sink of a feed has a name of its own.");
    if (wish.after &&
        (*wish.after == wish.name || std::none_of(sinks.begin(), sinks.end(), is(*wish.after)))) {
      throw Error(ExitCode::usage,
                  fmt::format("the sink {} is to follow {}, which does not stand before it",
                              printable(wish.name), printable(*wish.after)),
                  "Write the first one first: --sink silver --sink gold:silver");
    }
  }
  pg::Session session = open_database(context, "feed-create");
  group::create_feed(session, name, settings, sinks);
  const group::Feed made = group::find_feed(session, name);
  tell(context, made, fmt::format("made the feed {}", printable(name)));
  if (settings.keep) note_longest_keep(context, session, made);
  if (sinks.empty()) {
    context.progress.note(
        fmt::format("it takes no batches before it has a sink: weir feed sink {} NAME", printable(name)));
  }
  return ExitCode::ok;
}

ExitCode list(Context& context) {
  pg::Session session = open_database(context, "feed-list");
  const auto feeds = group::list_feeds(session);
  if (context.global.json) {
    ordered_json all = ordered_json::array();
    for (const group::Feed& feed : feeds) all.push_back(feed_json(feed));
    context.out.json({{"feeds", all}});
  } else if (feeds.empty()) {
    context.progress.note("there are no feeds: weir feed create NAME makes one");
  } else {
    context.out.write(feeds_text(feeds, context.out.paint()));
  }
  return ExitCode::ok;
}

ExitCode set(Context& context) {
  constexpr std::string_view usage = "weir feed set NAME --OPTION VALUE.. See: weir help feed set";
  const std::string name = of_feed(context, usage);
  const group::FeedSettings settings = settings_of(context.arguments);
  if (!settings.any())
    throw Error(ExitCode::usage, "nothing to set was named", fmt::format("Write: {}", usage));
  pg::Session session = open_database(context, "feed-set");
  group::change_feed(session, group::find_feed(session, name), settings);
  const group::Feed now = group::find_feed(session, name);
  tell(context, now,
       fmt::format("{}: max-attempts {}, backoff {}, lease {}, keep {}, stranded {}", printable(now.name),
                   now.max_attempts, human_duration(now.backoff), human_duration(now.lease),
                   human_duration(now.keep), human_duration(now.stranded)));
  if (settings.keep) note_longest_keep(context, session, now);
  if (settings.max_attempts || settings.backoff || settings.lease || settings.stranded)
    context.progress.note("consumers that run keep what they began with");
  return ExitCode::ok;
}

/// FEED NAME
std::pair<std::string, std::string> feed_and_sink(const Context& context, std::string_view usage) {
  const auto& words = context.arguments.words;
  if (words.size() != 2)
    throw Error(ExitCode::usage, "which sink of which feed?", fmt::format("Write: {}", usage));
  return {words[0], words[1]};
}

ExitCode sink(Context& context) {
  const auto [feed, name] =
      feed_and_sink(context, "weir feed sink FEED NAME [--after SINK] [--from beginning|TIME]");
  check_name("sink", name);
  group::NewSink wanted{.feed = feed, .name = name, .after = context.arguments.value("after")};
  pg::Session session = open_database(context, "feed-sink");
  const group::Feed before = group::find_feed(session, feed);
  if (wanted.after) group::find_sink_of(before, *wanted.after);
  if (const auto from = context.arguments.value("from")) {
    const WallTime time = stream_time(session, "from", *from);
    if (time != WallTime::max()) wanted.from = time;
  }
  const group::SinkDefinition made = group::add_sink(session, wanted);
  const auto lag = group::sink_lag(session, feed, name);
  const std::int64_t waiting = lag.empty() ? 0 : lag.front().waiting;
  if (context.global.json) {
    context.out.json({{"feed", made.feed},
                      {"sink", made.name},
                      {"after", wanted.after ? ordered_json(*wanted.after) : ordered_json()},
                      {"waiting", waiting}});
    return ExitCode::ok;
  }
  context.out.line(fmt::format("the feed {} has the sink {} now{}: {} before it", printable(feed),
                               printable(name), made.after ? " after " + printable(*made.after) : "",
                               waiting == 0 ? "nothing yet" : batches_text(waiting)));
  context.progress.note(fmt::format("weir group consume {}--sink {} .. applies them",
                                    feed == "default" ? "" : "--feed " + printable(feed) + " ",
                                    printable(name)));
  return ExitCode::ok;
}

ExitCode pause(Context& context, bool paused) {
  const std::string verb = paused ? "pause" : "resume";
  const auto [feed, name] = feed_and_sink(context, fmt::format("weir feed {} FEED SINK", verb));
  pg::Session session = open_database(context, "feed-" + verb);
  const group::Feed found = group::find_feed(session, feed);
  const bool changed = group::pause_sink(session, group::find_sink_of(found, name), paused);
  if (context.global.json) {
    context.out.json({{"feed", feed}, {"sink", name}, {"paused", paused}, {"changed", changed}});
  } else {
    context.out.line(fmt::format("{} of {} {} {}", printable(name), printable(feed),
                                 changed ? "is" : "was already", paused ? "paused" : "open"));
  }
  return ExitCode::ok;
}

ExitCode drop(Context& context) {
  const std::string name = of_feed(context, "weir feed drop NAME --yes");
  pg::Session session = open_database(context, "feed-drop");
  const group::Feed feed = group::find_feed(session, name);
  std::int64_t waiting = 0;
  for (const group::SinkLag& lag : group::sink_lag(session, name)) waiting += lag.waiting + lag.executing;
  need_yes(context,
           fmt::format(
               "dropping the feed {} forgets {} sink{}, what is before them ({} not applied yet), all runs "
               "and what became of them",
               printable(name), feed.sinks.size(), feed.sinks.size() == 1 ? "" : "s", batches_text(waiting)),
           "What sinks have written stays. --yes drops the feed.");
  group::drop_feed(session, feed);
  if (context.global.json) {
    context.out.json({{"feed", name}, {"dropped", true}});
  } else {
    context.out.line(fmt::format("dropped the feed {}", printable(name)));
  }
  return ExitCode::ok;
}

constexpr OptionSpec kAttempts{"max-attempts", 0, "N",
                               "how often a batch is tried before its run fails (default: 3)"};
constexpr OptionSpec kBackoff{
    "backoff", 0, "TIME", "the pause after the first failure; twice of it after the second (default: 15s)"};
constexpr OptionSpec kLease{"lease", 0, "TIME",
                            "how long others wait for a consumer that says nothing (default: 60s)"};
constexpr OptionSpec kKeep{
    "keep", 0, "TIME",
    "how long batches and their history are kept, whole days; the longest of all feeds counts (default: 7d)"};
constexpr OptionSpec kStranded{
    "stranded", 0, "TIME", "how long a run waits for a batch that is missing, before it fails (default: 6h)"};

}  // namespace

Command feed_create_command() {
  return {
      .path = "feed create",
      .summary = "make a feed: where batches are submitted, with sinks that each have every batch",
      .description =
          "A sink of the form NAME:AFTER has a batch after the sink AFTER has succeeded with it. The feed\n"
          "'default' is there from the beginning, without a sink. See docs/groups.md.",
      .options = {{"sink", 0, "NAME[:AFTER]", "a sink; may be given several times"},
                  kAttempts,
                  kBackoff,
                  kLease,
                  kKeep,
                  kStranded},
      .words = "NAME",
      .examples = {{"weir feed create imports --sink silver --sink gold:silver", ""},
                   {"weir feed create imports --sink silver --max-attempts 5 --backoff 1m --keep 30d", ""}},
      .run = create};
}

Command feed_list_command() {
  return {.path = "feed list",
          .summary = "show feeds with their settings and sinks",
          .description = "How far sinks are behind: weir batch lag.",
          .examples = {{"weir feed list", ""}, {"weir feed list --json", "one document: feeds[]"}},
          .run = list};
}

Command feed_set_command() {
  return {.path = "feed set",
          .summary = "change the settings of a feed",
          .description =
              "What is not named stays. It counts for consumers that start later; --keep at once, and the "
              "longest\n"
              "one of all feeds is everybody's: 'weir feed list' shows them.",
          .options = {kAttempts, kBackoff, kLease, kKeep, kStranded},
          .words = "NAME",
          .examples = {{"weir feed set default --max-attempts 5 --backoff 30s", ""}},
          .run = set};
}

Command feed_sink_command() {
  return {
      .path = "feed sink",
      .summary = "add a sink to a feed",
      .description =
          "It has what is submitted from now on, and with --from also what was since then and is kept.\n"
          "With --after it has a batch once that sink has succeeded with it. A sink stays as long as its\n"
          "feed; one that nobody consumes keeps what is before it.",
      .options = {{"after", 0, "SINK", "the sink that has to have a batch first"},
                  {"from", 0, "TIME",
                   "also what was submitted since then: 'beginning', a time, or how long ago (2h)"}},
      .words = "FEED NAME",
      .examples = {{"weir feed sink default silver", ""},
                   {"weir feed sink default gold --after silver --from beginning", ""}},
      .run = sink};
}

Command feed_pause_command() {
  return {.path = "feed pause",
          .summary = "let a sink's consumers begin no more batches",
          .description = "What is executing goes on to its end. Batches still come before the sink.",
          .words = "FEED SINK",
          .examples = {{"weir feed pause default gold", ""}},
          .run = [](Context& context) { return pause(context, true); }};
}

Command feed_resume_command() {
  return {.path = "feed resume",
          .summary = "go on with a sink that was paused",
          .description = "Its consumers see it at their next look.",
          .words = "FEED SINK",
          .examples = {{"weir feed resume default gold", ""}},
          .run = [](Context& context) { return pause(context, false); }};
}

Command feed_drop_command() {
  return {
      .path = "feed drop",
      .summary = "drop a feed with its sinks, and all that is before them",
      .description =
          "Without --yes it says what would go, and exits with 5. Refused (5) while a consumer has a group\n"
          "of it. What sinks have written is theirs and stays.",
      .options = {{"yes", 'y', "", "do it"}},
      .words = "NAME",
      .examples = {{"weir feed drop imports --yes", ""}},
      .run = drop};
}

}  // namespace weir::cli
