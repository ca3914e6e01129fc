#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/job_words.h"
#include "cli/open_database.h"
#include "cli/stream_table.h"
#include "cli/stream_words.h"
#include "cli/term/table.h"
#include "stream/stream.h"
#include "stream/table_rights.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kMostShown = 100'000;

ExitCode list(Context& context) {
  pg::Session session = open_database(context, "stream-list");
  const auto streams = stream::list_streams(session);
  if (context.global.json) {
    context.out.json({{"streams", streams_json(streams)}});
  } else if (streams.empty()) {
    context.progress.note("there are no streams yet: weir stream create NAME makes one");
  } else {
    context.out.write(streams_text(streams, context.out.paint()));
  }
  return ExitCode::ok;
}

ExitCode show(Context& context) {
  auto [session, stream] = open_stream(context, "stream-show", "weir stream show NAME");
  const stream::StreamOverview overview = stream::overview_of(session, stream);
  if (context.global.json) {
    context.out.json(overview_json(stream, overview));
  } else {
    context.out.write(overview_text(stream, overview, context.out.paint()));
    if (overview.groups.empty())
      context.progress.note(fmt::format("no group consumes it yet: weir stream consume {} --group GROUP ..",
                                        printable(stream.name)));
  }
  return ExitCode::ok;
}

/// Of one stream.
ordered_json lag_of(Context& context, pg::Session& session, const stream::StreamDefinition& stream,
                    const std::optional<std::string>& group, bool named) {
  std::optional<std::int32_t> only;
  if (group) only = stream::find_group(session, stream, *group);
  const auto groups = stream::group_figures(session, stream, only);
  const auto uncut = stream::count_uncut(session, stream);
  if (!context.global.json) {
    if (!named) context.out.line(stream.name);
    if (!groups.empty()) context.out.write(groups_text(groups, context.out.paint()));
    if (groups.empty()) context.progress.note(fmt::format("{} has no groups", printable(stream.name)));
    if (uncut && uncut->events > 0) {
      context.out.line(fmt::format("not cut yet: {}", uncut_text(*uncut)));
      bool any = false;
      for (const auto& one : groups) any = any || one.consumers > 0;
      if (!any) context.progress.note("nobody consumes it, so that nobody cuts it");
    }
  }
  return {{"stream", stream.name}, {"uncut", uncut_json(uncut)}, {"groups", groups_json(groups)}};
}

ExitCode lag(Context& context) {
  const auto group = context.arguments.value("group");
  if (context.arguments.words.size() > 1 || (group && context.arguments.words.empty())) {
    throw Error(ExitCode::usage, group ? "of which stream?" : "one stream at a time, or all without a name",
                "Write: weir stream lag [NAME [--group GROUP]]");
  }
  pg::Session session = open_database(context, "stream-lag");
  ordered_json all = ordered_json::array();
  if (!context.arguments.words.empty()) {
    const auto stream = stream::find_stream(session, context.arguments.words.front());
    stream::require_rights(session, stream, stream::Rights::none);
    all.push_back(lag_of(context, session, stream, group, true));
  } else {
    for (const auto& line : stream::list_streams(session)) {
      if (!line.bytes) continue;  // its table is gone, as weir stream list says
      all.push_back(lag_of(context, session, stream::find_stream(session, line.name), {}, false));
    }
    if (all.empty() && !context.global.json) context.progress.note("there are no streams yet");
  }
  if (context.global.json) context.out.json({{"streams", all}});
  return ExitCode::ok;
}

ExitCode peek(Context& context) {
  const stream::Peek peek{.most = context.arguments.number("count", 1, kMostShown).value_or(10),
                          .key = context.arguments.value("key")};
  auto [session, stream] =
      open_stream(context, "stream-peek", "weir stream peek NAME [-n N] [--group GROUP]");
  if (peek.key && !stream.columns.key) {
    throw Error(ExitCode::usage, fmt::format("the stream {} has no key", printable(stream.name)),
                "Leave --key out.");
  }
  stream::require_rights(session, stream, stream::Rights::read);
  const auto group = context.arguments.value("group");
  const auto events =
      group ? stream::peek_before(session, stream, stream::find_group(session, stream, *group), peek)
            : stream::peek_newest(session, stream, peek);
  if (context.global.json) {
    for (const auto& event : events) context.out.json_line(event_json(event));
    return ExitCode::ok;
  }
  if (events.empty()) {
    context.progress.note(
        group
            ? fmt::format("nothing{} is before the group {}; weir stream lag tells what is not cut yet, and "
                          "what is tried again",
                          peek.key ? " with that key" : "", printable(*group))
            : std::string(peek.key ? "no event has that key" : "no events"));
    return ExitCode::ok;
  }
  Table table({{"id", Table::Align::right}, {"at"}, {"key"}, {"payload"}});
  for (const auto& event : events)
    table.add(
        {std::to_string(event.id), time_text(event.at), event.key.value_or(""), elide(event.payload, 200)});
  context.out.write(table.render(context.out.paint()));
  return ExitCode::ok;
}

ExitCode dead(Context& context) {
  const int most = context.arguments.number("limit", 1, kMostShown).value_or(50);
  const std::string name = group_name(context, "weir stream dead NAME --group GROUP");
  auto [session, stream] = open_stream(context, "stream-dead", "weir stream dead NAME --group GROUP");
  const std::int32_t group = stream::find_group(session, stream, name);
  auto letters = stream::dead_letters(session, group, most + 1);
  const bool more = letters.size() > static_cast<std::size_t>(most);
  if (more) letters.pop_back();
  if (context.global.json) {
    ordered_json all = ordered_json::array();
    for (const auto& letter : letters) all.push_back(letter_json(letter));
    context.out.json({{"stream", stream.name}, {"group", name}, {"letters", all}, {"more", more}});
    return ExitCode::ok;
  }
  if (letters.empty()) {
    context.progress.note(fmt::format("the group {} has no dead letters", printable(name)));
    return ExitCode::ok;
  }
  Table table(
      {{"id", Table::Align::right}, {"at"}, {"failed"}, {"attempts", Table::Align::right}, {"error"}});
  for (const auto& letter : letters) {
    table.add({std::to_string(letter.event), time_text(letter.at), time_text(letter.failed_at),
               std::to_string(letter.attempts), first_line(letter.error)});
  }
  context.out.write(table.render(context.out.paint()));
  if (more) context.progress.note(fmt::format("there are more than these {}: --limit N shows more", most));
  return ExitCode::ok;
}

}  // namespace

Command stream_list_command() {
  return {.path = "stream list",
          .summary = "show streams: size, partitions, groups, how far the slowest group is behind",
          .description = "`waiting` is what the group has before it that is furthest behind.",
          .examples = {{"weir stream list", ""}, {"weir stream list --json", "one document: streams[]"}},
          .run = list};
}

Command stream_show_command() {
  return {.path = "stream show",
          .summary = "show all about a stream: settings, partitions, what retention takes next, groups",
          .description = "Changes nothing.",
          .words = "NAME",
          .examples = {{"weir stream show events", ""}, {"weir stream show events --json", "one document"}},
          .run = show};
}

Command stream_lag_command() {
  return {
      .path = "stream lag",
      .summary = "show how far groups are behind, in events and in time",
      .description =
          "For each group: processes that consume; events that wait, that processes have under their\n"
          "leases, that failed and are tried again, that are dead, that retention took before; lag: how\n"
          "long ago the oldest of its chunks was cut, which is when its events could first be consumed;\n"
          "and the time that its oldest event bears. Events that were committed and not cut yet are counted\n"
          "for the stream, up to 100,000.",
      .options = {{"group", 0, "GROUP", "only this group"}},
      .words = "[NAME]",
      .examples = {{"weir stream lag events", ""},
                   {"weir stream lag events --group daily --json | jq '.streams[0].groups[0].lag_seconds'",
                    ""}},
      .run = lag};
}

Command stream_peek_command() {
  return {.path = "stream peek",
          .summary = "look at a stream's newest events, or at what a group gets next",
          .description =
              "Consumes nothing. The newest come first; with --group what it gets first, of its first 100\n"
              "chunks. --key has no index: where it is rare, the whole stream is read.",
          .options = {{"count", 'n', "N", "so many at most (default: 10)"},
                      {"group", 0, "GROUP", "what is before this group"},
                      {"key", 0, "KEY", "only events with this key"}},
          .words = "NAME",
          .examples = {{"weir stream peek events", ""},
                       {"weir stream peek events -n 1 --json", "a line each: id, xid, at, key, payload"}},
          .run = peek};
}

Command stream_dead_command() {
  return {
      .path = "stream dead",
      .summary = "show the events that a group gave up, with their errors",
      .description = "The youngest first. weir stream replay NAME --group GROUP --dead starts them again.",
      .options = {{"group", 0, "GROUP", "whose (needed)"},
                  {"limit", 0, "N", "so many at most (default: 50)"}},
      .words = "NAME",
      .examples = {{"weir stream dead events --group daily", ""},
                   {"weir stream dead events --group daily --json", "one document: letters[], more"}},
      .run = dead};
}

}  // namespace weir::cli
