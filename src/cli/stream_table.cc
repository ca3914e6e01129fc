#include "cli/stream_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/job_words.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using stream::GroupFigures;

std::string bytes_text(std::int64_t bytes) { return human_bytes(static_cast<std::uint64_t>(bytes)); }

ordered_json seconds_json(const std::optional<Duration>& span) {
  return span ? ordered_json(to_seconds(*span)) : ordered_json();
}

std::string time_or_nothing(const std::optional<WallTime>& time) { return time ? time_text(*time) : ""; }

std::string bound_text(WallTime time) {
  return time == WallTime::min() || time == WallTime::max() ? "" : time_text(time);
}

/// A text, or what it is where it is JSON.
ordered_json raw(const std::string& text) {
  ordered_json value = ordered_json::parse(text, nullptr, false);
  return value.is_discarded() ? ordered_json(text) : value;
}

std::string held_text(const stream::Leaving& leaving) {
  std::vector<std::string> holders;
  for (const stream::Held& held : leaving.held)
    holders.push_back(fmt::format("{} ({} events)", held.group, human_count(held.events)));
  return fmt::format("{}", fmt::join(holders, ", "));
}

std::string partition_state(const stream::StreamOverview& overview, const stream::Partition& partition) {
  if (partition.detaching) return "being detached";
  if (partition.is_default) return "default";
  for (const stream::Leaving& leaving : overview.leaving) {
    if (leaving.partition.partition.name != partition.name) continue;
    if (!leaving.held.empty()) return "expired, held by " + held_text(leaving);
    return leaving.partition.in_spite_of_groups ? "goes next, consumed or not" : "goes next";
  }
  if (partition.span.from > overview.now) return "made ahead";
  return "";
}

std::string retention_text(const stream::Retention& retention) {
  if (!retention.time && !retention.bytes) return "for ever";
  std::string text;
  if (retention.time) text = human_duration(*retention.time);
  if (retention.bytes)
    text += fmt::format("{}at most {}", text.empty() ? "" : ", ", bytes_text(*retention.bytes));
  return fmt::format("{}; a group may hold it up for {} more", text, human_duration(retention.hold));
}

}  // namespace

std::string streams_text(const std::vector<stream::StreamLine>& streams, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"stream"},
               {"size", right},
               {"partitions", right},
               {"groups", right},
               {"waiting", right},
               {"oldest"},
               {"newest"}});
  for (const stream::StreamLine& line : streams) {
    table.add({line.name, line.bytes ? Table::Cell(bytes_text(*line.bytes)) : Table::Cell("gone", Color::red),
               std::to_string(line.partitions), std::to_string(line.groups),
               line.waiting ? human_count(*line.waiting) : "", time_or_nothing(line.oldest_at),
               time_or_nothing(line.newest_at)});
  }
  return table.render(paint);
}

ordered_json streams_json(const std::vector<stream::StreamLine>& streams) {
  ordered_json all = ordered_json::array();
  for (const stream::StreamLine& line : streams) {
    all.push_back({{"stream", line.name},
                   {"schema", line.schema},
                   {"table", line.table},
                   {"bytes", or_null(line.bytes)},
                   {"partitions", line.partitions},
                   {"groups", line.groups},
                   {"waiting", or_null(line.waiting)},
                   {"oldest_at", time_json(line.oldest_at)},
                   {"newest_at", time_json(line.newest_at)}});
  }
  return all;
}

std::string groups_text(const std::vector<GroupFigures>& groups, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"group"},
               {"consumers", right},
               {"waiting", right},
               {"claimed", right},
               {"again", right},
               {"dead", right},
               {"lost", right},
               {"lag", right},
               {"oldest event"}});
  for (const GroupFigures& group : groups) {
    std::string name = group.name;
    if (group.lanes > 0) name += fmt::format(" (in order, {} lanes)", group.lanes);
    if (group.paused) name += " (paused)";
    table.add({Table::Cell(std::move(name), group.paused ? Color::yellow : Color::plain),
               std::to_string(group.consumers), human_count(group.events), human_count(group.claimed),
               Table::Cell(human_count(group.again), group.again > 0 ? Color::yellow : Color::plain),
               Table::Cell(human_count(group.dead), group.dead > 0 ? Color::red : Color::plain),
               Table::Cell(human_count(group.lost), group.lost > 0 ? Color::red : Color::plain),
               group.lag ? human_duration(*group.lag) : "", time_or_nothing(group.oldest_at)});
  }
  return table.render(paint);
}

ordered_json groups_json(const std::vector<GroupFigures>& groups) {
  ordered_json all = ordered_json::array();
  for (const GroupFigures& group : groups) {
    all.push_back({{"group", group.name},
                   {"paused", group.paused},
                   {"lanes", group.lanes},
                   {"consumers", group.consumers},
                   {"events", group.events + group.claimed + group.again},
                   {"waiting", group.events},
                   {"chunks", group.chunks},
                   {"claimed", group.claimed},
                   {"again", group.again},
                   {"dead", group.dead},
                   {"lost", group.lost},
                   {"lag_seconds", group.lag ? to_seconds(*group.lag) : 0.0},
                   {"oldest_at", time_json(group.oldest_at)},
                   {"max_attempts", group.max_attempts},
                   {"backoff_seconds", to_seconds(group.backoff)},
                   {"backoff_cap_seconds", to_seconds(group.backoff_cap)}});
  }
  return all;
}

std::string lanes_text(const std::vector<stream::LaneFigures>& lanes, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"lane"},
               {"number", right},
               {"chunks", right},
               {"lag", right},
               {"stays at event", right},
               {"failed", right},
               {"error"}});
  for (const stream::LaneFigures& lane : lanes) {
    table.add(
        {lane.slowest ? lane.group + ", the slowest" : lane.group, std::to_string(lane.lane),
         human_count(lane.chunks), lane.lag ? human_duration(*lane.lag) : "",
         lane.failed_event ? Table::Cell(std::to_string(*lane.failed_event), Color::yellow) : Table::Cell(""),
         lane.failed_event ? std::to_string(lane.attempts) : "", first_line(lane.error)});
  }
  return table.render(paint);
}

ordered_json lanes_json(const std::vector<stream::LaneFigures>& lanes) {
  ordered_json all = ordered_json::array();
  for (const stream::LaneFigures& lane : lanes) {
    all.push_back(
        {{"group", lane.group},
         {"lane", lane.lane},
         {"slowest", lane.slowest},
         {"chunks", lane.chunks},
         {"lag_seconds", lane.lag ? to_seconds(*lane.lag) : 0.0},
         {"failed_event", lane.failed_event ? ordered_json(id_json(*lane.failed_event)) : ordered_json()},
         {"attempts", lane.attempts},
         {"retry_at", time_json(lane.retry_at)},
         {"error", lane.error}});
  }
  return all;
}

std::string uncut_text(const stream::Uncut& uncut) {
  return (uncut.more ? "more than " : "") + human_count(uncut.events);
}

ordered_json uncut_json(const std::optional<stream::Uncut>& uncut) {
  if (!uncut) return nullptr;
  return {{"count", uncut->events}, {"more", uncut->more}};
}

std::string settings_text(const stream::StreamDefinition& stream, const stream::StreamOverview& overview) {
  const stream::Retention& retention = overview.retention;
  return fmt::format("{}: ahead {}, retain {}, retain-size {}, hold {}, chunk {}", stream.name,
                     overview.ahead, retention.time ? human_duration(*retention.time) : "none",
                     retention.bytes ? bytes_text(*retention.bytes) : "none", human_duration(retention.hold),
                     human_count(stream.chunk_events));
}

std::string overview_text(const stream::StreamDefinition& stream, const stream::StreamOverview& overview,
                          const Paint& paint) {
  Table facts({{""}, {""}});
  const auto add = [&](std::string name, Table::Cell value) {
    facts.add({Table::Cell(std::move(name), Color::dim), std::move(value)});
  };
  const stream::StreamColumns& columns = stream.columns;
  add("stream", stream.name);
  add("table",
      fmt::format("{}.{} ({}, {}, {}{}{})", stream.schema, stream.table, columns.xid, columns.id, columns.at,
                  columns.key ? ", " + *columns.key : "", columns.payload ? ", " + *columns.payload : ""));
  add("made", time_text(overview.created_at));
  add("partitions", overview.span
                        ? fmt::format("of {}, {} made ahead", human_duration(*overview.span), overview.ahead)
                        : std::string("not made by Weir"));
  add("kept", overview.span ? retention_text(overview.retention) : std::string("as its owner likes"));
  add("chunks",
      fmt::format("{} of about {} events", human_count(overview.chunks), human_count(stream.chunk_events)));
  add("last cut", overview.cuts == 0 ? std::string("none yet")
                                     : fmt::format("{} ago", human_duration(overview.now - overview.cut_at)));
  if (overview.uncut) add("not cut yet", uncut_text(*overview.uncut));
  if (!overview.here) {
    add("server",
        Table::Cell(fmt::format("brought here from another one: weir stream rebase {}", stream.name),
                    Color::red));
  }
  add("oldest event", time_or_nothing(overview.oldest_at));
  add("newest event", time_or_nothing(overview.newest_at));
  for (const std::string& name : overview.detached) add("on its way out", Table::Cell(name, Color::yellow));

  Table partitions({{"partition"}, {"from"}, {"to"}, {"size", Table::Align::right}, {"state"}});
  for (const stream::Partition& partition : overview.partitions) {
    partitions.add({partition.name, bound_text(partition.span.from), bound_text(partition.span.to),
                    bytes_text(partition.bytes), partition_state(overview, partition)});
  }
  std::string text = facts.render(paint);
  if (!overview.partitions.empty()) text += "\n" + partitions.render(paint);
  if (!overview.groups.empty()) text += "\n" + groups_text(overview.groups, paint);
  if (!overview.lanes.empty()) text += "\n" + lanes_text(overview.lanes, paint);
  return text;
}

ordered_json overview_json(const stream::StreamDefinition& stream, const stream::StreamOverview& overview) {
  ordered_json partitions = ordered_json::array();
  for (const stream::Partition& partition : overview.partitions) {
    partitions.push_back({{"partition", partition.name},
                          {"from", time_json(partition.span.from)},
                          {"to", time_json(partition.span.to)},
                          {"bytes", partition.bytes},
                          {"default", partition.is_default},
                          {"detaching", partition.detaching}});
  }
  ordered_json leaving = ordered_json::array();
  for (const stream::Leaving& one : overview.leaving) {
    ordered_json held = ordered_json::array();
    for (const stream::Held& by : one.held) held.push_back({{"group", by.group}, {"events", by.events}});
    leaving.push_back({{"partition", one.partition.partition.name},
                       {"in_spite_of_groups", one.partition.in_spite_of_groups},
                       {"held_by", held}});
  }
  const stream::StreamColumns& columns = stream.columns;
  return {{"stream", stream.name},
          {"schema", stream.schema},
          {"table", stream.table},
          {"columns",
           {{"xid", columns.xid},
            {"event_id", columns.id},
            {"at", columns.at},
            {"key", or_null(columns.key)},
            {"payload", or_null(columns.payload)}}},
          {"created_at", time_json(overview.created_at)},
          {"partition_seconds", seconds_json(overview.span)},
          {"ahead", overview.ahead},
          {"retain_seconds", seconds_json(overview.retention.time)},
          {"retain_bytes", or_null(overview.retention.bytes)},
          {"hold_seconds", to_seconds(overview.retention.hold)},
          {"chunk_events", stream.chunk_events},
          {"chunks", overview.chunks},
          {"cut_at", time_json(overview.cut_at)},
          {"cuts", overview.cuts},
          {"uncut", uncut_json(overview.uncut)},
          {"needs_rebase", !overview.here},
          {"oldest_at", time_json(overview.oldest_at)},
          {"newest_at", time_json(overview.newest_at)},
          {"partitions", partitions},
          {"detached", overview.detached},
          {"leaving", leaving},
          {"groups", groups_json(overview.groups)},
          {"lanes", lanes_json(overview.lanes)}};
}

ordered_json event_json(const stream::SeenEvent& event) {
  return {{"id", id_json(event.id)},
          {"xid", event.xid},
          {"at", time_json(event.at)},
          {"key", or_null(event.key)},
          {"payload", raw(event.payload)}};
}

ordered_json letter_json(const stream::DeadLetter& letter) {
  return {
      {"id", id_json(letter.event)}, {"at", time_json(letter.at)}, {"failed_at", time_json(letter.failed_at)},
      {"attempts", letter.attempts}, {"error", letter.error},      {"event", raw(letter.row)}};
}

}  // namespace weir::cli
