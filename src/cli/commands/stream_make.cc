#include <chrono>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/open_database.h"
#include "cli/stream_words.h"
#include "pg/error.h"
#include "schema/queries/streams.h"
#include "stream/admin.h"
#include "stream/overview.h"
#include "stream/partition_plan.h"
#include "stream/rebase.h"
#include "stream/stream.h"
#include "stream/table_rights.h"
#include "work/work_connector.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;

constexpr std::size_t kLongestName = 63;

stream::NewStream wanted(const Context& context) {
  const Arguments& given = context.arguments;
  stream::NewStream wanted{.name =
                               stream_name(context, "weir stream create NAME, such as events or app.events")};
  if (const auto span = given.value("partition")) wanted.span = stream::parse_span(*span);
  wanted.ahead = given.number("ahead", 1, 1000).value_or(wanted.ahead);
  wanted.retain = given.duration("retain", 1min, kLongestKept);
  wanted.retain_bytes = bytes_option(given, "retain-size");
  wanted.hold = given.duration("hold", 0s, kLongestKept).value_or(wanted.hold);
  wanted.needs_key = given.has("key");
  wanted.with_default = given.has("default-partition");
  wanted.chunk_events = given.number("chunk", 1, 10'000).value_or(1000);
  return wanted;
}

/// What the server says of a name that cannot be.
[[noreturn]] void throw_bad_name(const std::string& name, const pg::Error& error) {
  const std::string_view state = error.sqlstate();
  if (state == "3F000") {
    throw Error(ExitCode::definition,
                fmt::format("the stream {} cannot be made: {}", printable(name), error.info().message),
                "Make the schema first: CREATE SCHEMA.");
  }
  if (state == "22023" || state == "0A000") {
    throw Error(ExitCode::usage, fmt::format("'{}' is no name of a table", printable(name)),
                "Write it as in SQL, with a schema or without: events, app.events, '\"Odd name\"'.");
  }
  throw pg::Error(error);
}

stream::StreamDefinition make(pg::Session& session, const stream::NewStream& stream) {
  try {
    const auto name = session.run<sql::StreamTableName>(stream.name);
    if (name.one().table_name.size() > kLongestName) {
      throw Error(ExitCode::usage, fmt::format("the name of the table is longer than {} bytes", kLongestName),
                  "PostgreSQL would cut it off: find a shorter one.");
    }
    return stream::create_stream(session, stream);
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
    throw_bad_name(stream.name, error);
  }
}

ExitCode create(Context& context) {
  const stream::NewStream stream = wanted(context);
  pg::Session session = open_users_database(context, "stream-create");
  const stream::StreamDefinition made = make(session, stream);
  if (context.global.json) {
    context.out.json({{"stream", made.name}, {"schema", made.schema}, {"table", made.table}});
  } else {
    context.out.line(fmt::format("made the stream {}: INSERT or COPY (key, payload) into {}.{}", made.name,
                                 made.schema, made.table));
  }
  return ExitCode::ok;
}

ordered_json to_json(const stream::KeepReport& report) {
  ordered_json held = ordered_json::array();
  for (const stream::Held& one : report.held)
    held.push_back({{"partition", one.partition}, {"group", one.group}, {"events", one.events}});
  return {{"made", report.made},
          {"dropped", report.dropped},
          {"held", held},
          {"busy", report.busy},
          {"lost", report.lost}};
}

ExitCode keep(Context& context) {
  auto [session, stream] = open_stream(context, "stream-keep", "weir stream keep NAME");
  stream::require_rights(session, stream, stream::Rights::own);
  // It needs settings that hold for its session alone, so a pooler in between has to be known of.
  const auto at = work::connector_for_work(std::make_shared<const pg::Connector>(running_database(
                                               context.global, choose_database(context.global))),
                                           {.stop = context.stop});
  pg::Session own = at.connector->connect(pg::Role::api, "stream-keep", {.stop = context.stop});
  const stream::KeepReport report = stream::keep_partitions(own, stream);
  if (context.global.json) {
    context.out.json(to_json(report));
    return report.busy.empty() ? ExitCode::ok : ExitCode::failed;
  }
  for (const std::string& name : report.made) context.out.line("made " + name);
  for (const std::string& name : report.dropped) context.out.line("dropped " + name);
  for (const stream::Held& held : report.held) {
    context.out.line(fmt::format("{} stays: the group {} has {} of it before it", held.partition,
                                 printable(held.group), events_text(held.events)));
  }
  for (const std::string& name : report.busy)
    context.out.line(fmt::format("{} is in use: its lock was not to be had within 200 ms", name));
  if (report.lost > 0)
    context.out.line(fmt::format("groups lost {} that they had not had yet", events_text(report.lost)));
  if (report.made.empty() && report.dropped.empty() && report.held.empty() && report.busy.empty())
    context.out.line("nothing to do");
  return report.busy.empty() ? ExitCode::ok : ExitCode::failed;
}

ExitCode rebase(Context& context) {
  const Duration patience = context.arguments.duration("patience", 1ms, 1h).value_or(5s);
  auto [session, stream] = open_stream(context, "stream-rebase", "weir stream rebase NAME");
  stream::require_rights(session, stream, stream::Rights::own);
  const stream::RebaseReport report = stream::rebase_stream(session, stream, patience);
  if (context.global.json) {
    context.out.json({{"stream", stream.name},
                      {"events", report.events},
                      {"renumbered", report.renumbered},
                      {"shift", report.shift}});
  } else {
    context.out.line(fmt::format("the stream {} is this server's now; {} had not been cut before",
                                 stream.name, events_text(report.events)));
    if (report.renumbered > 0)
      context.out.line(
          fmt::format("{} written here before were numbered anew", events_text(report.renumbered)));
  }
  return ExitCode::ok;
}

void refuse_without_yes(const Context& context, const std::string& what, const std::string& remedy) {
  if (context.arguments.has("yes")) return;
  throw Error(ExitCode::refused, what, remedy);
}

ExitCode drop_group(Context& context, pg::Session& session, const stream::StreamDefinition& stream) {
  if (context.arguments.has("keep-table"))
    throw Error(ExitCode::usage, "--keep-table is about a whole stream", "Leave it or --group out.");
  const std::string name = group_name(context, "weir stream drop NAME --group GROUP --yes");
  const std::int32_t group = stream::find_group(session, stream, name);
  const stream::GroupFigures now = stream::group_figures(session, stream, group).at(0);
  refuse_without_yes(
      context,
      fmt::format("dropping the group {} forgets how far it is: {} before it, {} dead", printable(name),
                  events_text(now.events + now.claimed + now.again), human_count(now.dead)),
      "The stream's events stay. --yes drops the group.");
  stream::drop_group(session, stream, group);
  if (context.global.json) {
    context.out.json({{"stream", stream.name}, {"group", name}, {"dropped", true}});
  } else {
    context.out.line(fmt::format("dropped the group {} of the stream {}", printable(name), stream.name));
  }
  return ExitCode::ok;
}

ExitCode drop(Context& context) {
  auto [session, stream] = open_stream(
      context, "stream-drop", "weir stream drop NAME --yes, or weir stream drop NAME --group GROUP --yes");
  if (context.arguments.has("group")) return drop_group(context, session, stream);
  const bool keeps = context.arguments.has("keep-table");
  const auto groups = stream::group_figures(session, stream);
  std::int64_t bytes = 0;
  for (const stream::Partition& partition : stream::partitions_of(session, stream)) bytes += partition.bytes;
  const std::string table = stream.schema + "." + stream.table;
  const std::string of_groups = fmt::format("{} group{}", groups.size(), groups.size() == 1 ? "" : "s");
  refuse_without_yes(
      context,
      keeps || stream.adopted
          ? fmt::format("dropping the stream {} forgets {}; the table {} stays", stream.name, of_groups,
                        table)
          : fmt::format("dropping the stream {} drops the table {} ({}) with all events, and forgets {}",
                        stream.name, table, human_bytes(static_cast<std::uint64_t>(bytes)), of_groups),
      keeps            ? "--yes does it."
      : stream.adopted ? "--keep-table --yes does it: the table was there before."
                       : "--yes does it; --keep-table leaves the table there, as an ordinary one.");
  stream::drop_stream(session, stream, keeps);
  if (context.global.json) {
    context.out.json(
        {{"stream", stream.name}, {"table", table}, {"table_dropped", !keeps}, {"dropped", true}});
  } else {
    context.out.line(keeps ? fmt::format("{} is a stream no more; its table {} stays", stream.name, table)
                           : fmt::format("dropped the stream {} and its table {}", stream.name, table));
  }
  return ExitCode::ok;
}

}  // namespace

Command stream_create_command() {
  return {.path = "stream create",
          .summary = "make a table that anybody may add events to, and groups consume",
          .description =
              "Makes the table NAME (xid, event_id, at, key, payload), partitioned by time, and what Weir\n"
              "knows of it. Producers INSERT or COPY (key, payload), and at where the event is older, in\n"
              "transactions of their own; they never write xid or event_id. See docs/streams.md.",
          .options =
              {{"partition", 0, "TIME", "what one partition covers, a minute to a year (default: 1d)"},
               {"ahead", 0, "N", "partitions made ahead (default: 3)"},
               {"retain", 0, "TIME", "drop partitions that are older and consumed (default: keep all)"},
               {"retain-size", 0, "SIZE", "drop the oldest partitions of a stream that is larger: 100GB"},
               {"hold", 0, "TIME",
                "how long a group that does not get on may hold that up; then it loses events (default: 7d)"},
               {"chunk", 0, "N", "about how many events are handed out together (default: 1000)"},
               {"key", 0, "", "every event has a key: what has none is refused"},
               {"default-partition", 0, "",
                "a partition for all other times; others come and go under a stronger lock then"}},
          .words = "NAME",
          .examples = {{"weir stream create events --partition 1d --retain 30d", ""},
                       {"weir stream create app.clicks --partition 1h --retain-size 100GB --hold 1d", ""}},
          .run = create};
}

Command stream_keep_command() {
  return {
      .path = "stream keep",
      .summary = "make and drop a stream's partitions now, and say why others stay",
      .description =
          "Consumers do that by themselves, when the role they run as owns the table. Where it does not,\n"
          "let the owner run this every hour or so. Exit code 1 when a partition was in use: run it again.",
      .words = "NAME",
      .examples = {{"weir stream keep events", ""},
                   {"weir stream keep events --json", "one document: made, dropped, held, busy, lost"}},
      .run = keep};
}

Command stream_rebase_command() {
  return {
      .path = "stream rebase",
      .summary = "take a stream over that a dump, or an upgrade, brought to this server",
      .description =
          "Once, after pg_restore or pg_upgrade: events carry numbers of the other server's transactions.\n"
          "Shuts everybody out of the stream for as long as it takes. Nothing is lost or repeated.",
      .options = {{"patience", 0, "TIME", "how long to wait for those who use the stream (default: 5s)"}},
      .words = "NAME",
      .examples = {{"weir stream rebase events", ""}},
      .run = rebase};
}

Command stream_drop_command() {
  return {
      .path = "stream drop",
      .summary = "drop a stream with its table, or one of its groups",
      .description =
          "Without --yes it says what would go, and exits with 5. Refused (5) while processes consume it.",
      .options = {{"group", 0, "GROUP", "only this group"},
                  {"keep-table", 0, "", "leave the table with its events there, as an ordinary one"},
                  {"yes", 'y', "", "do it"}},
      .words = "NAME",
      .examples = {{"weir stream drop events --keep-table --yes", ""},
                   {"weir stream drop events --group daily --yes", ""}},
      .run = drop};
}

}  // namespace weir::cli
