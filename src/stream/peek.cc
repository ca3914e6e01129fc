#include "stream/peek.h"

#include <fmt/format.h>

#include "schema/queries/streams.h"
#include "schema/queries/streams_admin.h"
#include "stream/chunk_row.h"
#include "stream/stream_sql.h"

namespace weir::stream {
namespace {

/// Named as rows of `p`.
std::string columns(const StreamSql& sql) {
  return fmt::format("{} AS id, {} AS xid, {} AS at, {} AS key, pg_catalog.to_jsonb({})::text AS payload",
                     sql.id(), sql.xid(), sql.at(), sql.key(), sql.payload());
}

/// `more`: a condition on rows `p`, or nothing.
void read(pg::Session& session, const std::string& from, const Peek& peek, std::string_view direction,
          std::vector<SeenEvent>& events, const std::string& more = {}) {
  const auto left = peek.most - static_cast<std::int64_t>(events.size());
  const pg::Result rows = session.execute(
      fmt::format(
          "SELECT p.id::bigint, p.xid::text, p.at, p.key, p.payload FROM ({0}) p WHERE ($1::text IS NULL OR "
          "p.key = $1::text){2} ORDER BY p.xid {1}, p.id {1} LIMIT $2::bigint",
          from, direction, more),
      peek.key, left);
  for (const pg::Row row : rows) {
    events.push_back({.id = row.get<std::int64_t>(0),
                      .xid = std::string(row.get<std::string_view>(1)),
                      .at = row.get<WallTime>(2),
                      .key = row.get<std::optional<std::string>>(3),
                      .payload = std::string(row.get<std::string_view>(4))});
  }
}

/// Of a chunk: that the event's lane has not had it.
std::string before_a_lane(std::int32_t group, std::int32_t lanes, std::int64_t chunk) {
  return fmt::format(
      " AND EXISTS (SELECT FROM weir.stream_lane l WHERE l.group_id = {0} AND l.lane = {1} AND l.done_chunk "
      "< {2} "
      "AND NOT (l.part_chunk IS NOT DISTINCT FROM {2} AND (p.xid::text::bigint, p.id::bigint) <= "
      "(l.part_xid, "
      "l.part_event)))",
      group, StreamSql::lane_of("p.key", std::to_string(lanes)), chunk);
}

}  // namespace

std::vector<SeenEvent> peek_newest(pg::Session& session, const StreamDefinition& stream, const Peek& peek) {
  const StreamSql sql(stream);
  std::vector<SeenEvent> events;
  read(session, fmt::format("SELECT {} FROM {} e", columns(sql), sql.table()), peek, "DESC", events);
  return events;
}

std::vector<SeenEvent> peek_before(pg::Session& session, const StreamDefinition& stream, std::int32_t group,
                                   const Peek& peek) {
  const StreamSql sql(stream);
  std::vector<SeenEvent> events;
  const auto settings = session.run<sql::StreamGroupSettings>(group);
  const std::int32_t lanes = settings.empty() ? 0 : settings.one().lanes;
  for (const auto& row : session.run<sql::StreamChunksBefore>(group, kMostPeeked)) {
    if (static_cast<std::int64_t>(events.size()) >= peek.most) break;
    read(session, sql.select({chunk_of(row)}, columns(sql)), peek, "ASC", events,
         lanes > 0 ? before_a_lane(group, lanes, row.number) : std::string());
  }
  return events;
}

}  // namespace weir::stream
