#include <algorithm>
#include <charconv>
#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/job_words.h"
#include "cli/open_database.h"
#include "cli/stream_table.h"
#include "cli/stream_words.h"
#include "stream/admin.h"
#include "stream/stream.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;

/// A stream and a group of it that were named.
struct OpenGroup {
  pg::Session session;
  stream::StreamDefinition stream;
  std::string name;
  std::int32_t id = 0;
};

OpenGroup open_group(const Context& context, std::string_view purpose, std::string_view usage) {
  std::string name = group_name(context, usage);
  OpenStream open = open_stream(context, purpose, usage);
  const std::int32_t id = stream::find_group(open.session, open.stream, name);
  return {std::move(open.session), std::move(open.stream), std::move(name), id};
}

ExitCode seek(Context& context) {
  constexpr std::string_view usage = "weir stream seek NAME --group GROUP --to TIME|beginning|end";
  const auto to = context.arguments.value("to");
  if (!to) throw Error(ExitCode::usage, "where to?", fmt::format("Write: {}", usage));
  OpenGroup group = open_group(context, "stream-seek", usage);
  const WallTime time = stream_time(group.session, "to", *to);
  const std::int64_t chunks = stream::seek_group(group.session, group.id, time);
  const auto now = stream::group_figures(group.session, group.stream, group.id);
  const std::int64_t events = now.empty() ? 0 : now[0].events;
  const std::int64_t claimed = now.empty() ? 0 : now[0].claimed;
  if (context.global.json) {
    context.out.json({{"stream", group.stream.name},
                      {"group", group.name},
                      {"to", time_json(time)},
                      {"chunks", chunks},
                      {"events", events}});
    return ExitCode::ok;
  }
  context.out.line(chunks == 0 ? fmt::format("nothing is before the group {} now, but what is still to come",
                                             printable(group.name))
                               : fmt::format("about {} {} before the group {} now", events_text(events),
                                             events == 1 ? "is" : "are", printable(group.name)));
  if (claimed > 0)
    context.progress.note(fmt::format("{} that processes have at hand stay with them", events_text(claimed)));
  return ExitCode::ok;
}

std::vector<std::int64_t> event_ids(std::span<const std::string> words) {
  std::vector<std::int64_t> ids;
  for (const std::string& word : words) {
    std::int64_t id = 0;
    const char* const end = word.data() + word.size();
    const auto parsed = std::from_chars(word.data(), end, id);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      throw Error(ExitCode::usage, fmt::format("'{}' is not the id of an event", printable(word)),
                  "An id is a number, as weir stream dead shows it.");
    }
    ids.push_back(id);
  }
  return ids;
}

constexpr std::string_view kReplayUsage =
    "weir stream replay NAME --group GROUP --from TIME [--to TIME], or weir stream replay NAME --group GROUP "
    "--dead "
    "[ID...]";

ExitCode replay_dead(Context& context) {
  const auto& words = context.arguments.words;
  if (words.empty()) throw Error(ExitCode::usage, "which stream?", fmt::format("Write: {}", kReplayUsage));
  std::vector<std::int64_t> ids = event_ids(std::span(words).subspan(1));
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const std::string name = group_name(context, kReplayUsage);
  pg::Session session = open_database(context, "stream-replay");
  const auto stream = stream::find_stream(session, words.front());
  const stream::Replayed replayed =
      stream::replay_dead(session, stream::find_group(session, stream, name), ids);
  const std::int64_t missing = ids.empty() ? 0 : std::ssize(ids) - replayed.events;
  if (context.global.json) {
    context.out.json(
        {{"stream", stream.name}, {"group", name}, {"replayed", replayed.letters}, {"not_dead", missing}});
  } else {
    context.out.line(fmt::format("{} will be tried again", events_text(replayed.letters)));
    if (missing > 0)
      context.progress.note(fmt::format("{} among them {} not dead", missing, missing == 1 ? "was" : "were"));
  }
  return missing > 0 ? ExitCode::failed : ExitCode::ok;
}

ExitCode replay(Context& context) {
  const Arguments& given = context.arguments;
  const auto from = given.value("from");
  const auto to = given.value("to");
  if (given.has("dead") == from.has_value() || (to && !from)) {
    throw Error(ExitCode::usage,
                given.has("dead") ? "--dead and a time exclude one another" : "what is to be replayed?",
                fmt::format("Write: {}", kReplayUsage));
  }
  if (given.has("dead")) return replay_dead(context);
  OpenGroup group = open_group(context, "stream-replay", kReplayUsage);
  const WallTime first = stream_time(group.session, "from", *from);
  const WallTime last = to ? stream_time(group.session, "to", *to) : WallTime::max();
  if (first >= last) throw Error(ExitCode::usage, "--from is not before --to", "Turn them round.");
  const std::int64_t events = stream::replay_events(group.session, group.stream, group.id, first, last);
  if (context.global.json) {
    context.out.json({{"stream", group.stream.name},
                      {"group", group.name},
                      {"from", time_json(first)},
                      {"to", time_json(last)},
                      {"events", events}});
  } else {
    context.out.line(fmt::format("about {} come before the group {} once more", events_text(events),
                                 printable(group.name)));
  }
  return ExitCode::ok;
}

ExitCode pause_stream(Context& context, bool paused) {
  const std::string verb = paused ? "pause" : "resume";
  OpenGroup group =
      open_group(context, "stream-" + verb, fmt::format("weir stream {} NAME --group GROUP", verb));
  const bool changed = stream::pause_group(group.session, group.id, paused);
  if (context.global.json) {
    context.out.json(
        {{"stream", group.stream.name}, {"group", group.name}, {"paused", paused}, {"changed", changed}});
  } else {
    context.out.line(fmt::format("{} of {} {} {}", printable(group.name), group.stream.name,
                                 changed ? "is" : "was already", paused ? "paused" : "open"));
  }
  return ExitCode::ok;
}

template <class Read>
auto or_none(const Arguments& given, std::string_view option, Read&& read) {
  using Value = decltype(read());
  if (!given.has(option)) return std::optional<Value>();
  return std::optional<Value>(given.value(option) == "none" ? Value() : read());
}

ExitCode set_stream(Context& context) {
  const Arguments& given = context.arguments;
  constexpr std::string_view usage = "weir stream set NAME --OPTION VALUE.. See: weir help stream set";
  const stream::StreamChange change{
      .ahead = given.number("ahead", 1, 1000),
      .chunk_events = given.number("chunk", 1, 10'000),
      .hold = given.duration("hold", 0s, kLongestKept),
      .retain = or_none(given, "retain", [&] { return given.duration("retain", 1min, kLongestKept); }),
      .retain_bytes = or_none(given, "retain-size", [&] { return bytes_option(given, "retain-size"); })};
  const stream::GroupChange of_group{.max_attempts = given.number("max-attempts", 1, 32'767),
                                     .backoff = given.duration("backoff", 0s, kLongestKept),
                                     .backoff_cap = given.duration("backoff-cap", 0s, kLongestKept)};
  const bool any = change.ahead || change.chunk_events || change.hold || change.retain || change.retain_bytes;
  const bool any_of_group = of_group.max_attempts || of_group.backoff || of_group.backoff_cap;
  if (any_of_group && !given.has("group")) {
    throw Error(ExitCode::usage, "--max-attempts, --backoff and --backoff-cap are those of a group",
                "Add --group GROUP.");
  }
  if (!any && !any_of_group)
    throw Error(ExitCode::usage, "nothing to set was named", fmt::format("Write: {}", usage));
  OpenStream open = open_stream(context, "stream-set", usage);
  std::optional<std::int32_t> group;
  if (given.has("group")) group = stream::find_group(open.session, open.stream, group_name(context, usage));
  if (any_of_group) stream::change_group(open.session, open.stream, *group, of_group);
  if (any) stream::change_stream(open.session, open.stream, change);
  open.stream = stream::find_stream(open.session, open.stream.name);
  const stream::StreamOverview now = stream::overview_of(open.session, open.stream);
  if (context.global.json) {
    context.out.json(overview_json(open.stream, now));
    return ExitCode::ok;
  }
  if (any) context.out.line(settings_text(open.stream, now));
  for (const stream::GroupFigures& one : now.groups) {
    if (!any_of_group || one.id != group) continue;
    context.out.line(fmt::format("{}: max-attempts {}, backoff {}, backoff-cap {}", printable(one.name),
                                 one.max_attempts, human_duration(one.backoff),
                                 human_duration(one.backoff_cap)));
    context.progress.note("consumers that run keep what they began with");
  }
  return ExitCode::ok;
}

const OptionSpec kGroup{"group", 0, "GROUP", "which group (needed)"};

}  // namespace

Command stream_seek_command() {
  return {
      .path = "stream seek",
      .summary = "set a group to a time: what is before it from now on",
      .description =
          "Everything from that time on is before the group then, and nothing else: what it has done comes\n"
          "again, what it has not had is left out. What processes have at hand, and letters, stay.\n"
          "A group that is kept in order has to be paused before, and to be done with what it has at hand.",
      .options = {kGroup, {"to", 0, "TIME", "a time, how long ago (2h), 'beginning' or 'end'"}},
      .words = "NAME",
      .examples = {{"weir stream seek events --group daily --to beginning", "all that is still there"},
                   {"weir stream seek events --group daily --to '2026-12-24 00:00Z'", ""},
                   {"weir stream seek events --group daily --to end", "skip all there is"}},
      .run = seek};
}

Command stream_replay_command() {
  return {
      .path = "stream replay",
      .summary = "give a group events of some time once more, or those that it gave up",
      .description =
          "Unlike seek it only adds: what is before the group already stays. Events from --from on, before\n"
          "--to where that is given; what processes have at hand is left out. With --dead the events that "
          "the\n"
          "group gave up, with no attempt counted: those that are named, or all. Exit code 1 when one that "
          "is\n"
          "named is not dead.",
      .options = {kGroup,
                  {"from", 0, "TIME", "a time, how long ago (2h), or 'beginning'"},
                  {"to", 0, "TIME", "up to this time (default: all)"},
                  {"dead", 0, "", "the events that it gave up"}},
      .words = "NAME [ID...]",
      .examples = {{"weir stream replay events --group daily --from 2026-12-24 --to 2026-12-25", ""},
                   {"weir stream replay events --group daily --dead", "once its handler is mended"},
                   {"weir stream replay events --group daily --dead 4711", ""}},
      .run = replay};
}

Command stream_pause_command() {
  return {.path = "stream pause",
          .summary = "let a group take no more events",
          .description = "What is at work goes on to its end. Events still come before the group.",
          .options = {kGroup},
          .words = "NAME",
          .examples = {{"weir stream pause events --group daily", ""}},
          .run = [](Context& context) { return pause_stream(context, true); }};
}

Command stream_resume_command() {
  return {.path = "stream resume",
          .summary = "go on with a group that was paused",
          .description = "Wakes its consumers.",
          .options = {kGroup},
          .words = "NAME",
          .examples = {{"weir stream resume events --group daily", ""}},
          .run = [](Context& context) { return pause_stream(context, false); }};
}

Command stream_set_command() {
  return {
      .path = "stream set",
      .summary = "change the settings of a stream, or of a group",
      .description =
          "What is not named stays. --retain and --retain-size take 'none', for ever. Consumers that run\n"
          "notice what is about partitions within a minute; the rest counts for those that start later.",
      .options = {{"ahead", 0, "N", "partitions made ahead"},
                  {"retain", 0, "TIME", "drop partitions that are older and consumed"},
                  {"retain-size", 0, "SIZE", "drop the oldest partitions of a stream that is larger"},
                  {"hold", 0, "TIME", "how long a group may hold that up"},
                  {"chunk", 0, "N", "about how many events are handed out together"},
                  {"group", 0, "GROUP", "whose the following ones are"},
                  {"max-attempts", 0, "N", "how often an event is tried before it is dead"},
                  {"backoff", 0, "TIME", "the pause after its first failure, which then doubles"},
                  {"backoff-cap", 0, "TIME", "the longest pause"}},
      .words = "NAME",
      .examples = {{"weir stream set events --retain 90d --hold 3d", ""},
                   {"weir stream set events --group daily --max-attempts 5 --backoff 10s", ""}},
      .run = set_stream};
}

}  // namespace weir::cli
