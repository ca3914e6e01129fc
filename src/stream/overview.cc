#include "stream/overview.h"

#include <chrono>

#include <fmt/format.h>

#include "base/text.h"
#include "schema/queries/streams.h"
#include "schema/queries/streams_admin.h"
#include "schema/queries/streams_lanes.h"
#include "stream/cut.h"
#include "stream/stream_sql.h"
#include "stream/table_rights.h"

namespace weir::stream {
namespace {

using std::chrono::milliseconds;

/// Nobody waits for a count over millions of rows.
constexpr std::int64_t kMostUncut = 100'000;

std::vector<Leaving> leaving_of(pg::Session& session, const StreamDefinition& stream,
                                const StreamOverview& overview) {
  std::vector<Leaving> leaving;
  for (Expired& old : expired(overview.partitions, overview.now, overview.retention)) {
    std::vector<Held> held;
    const Span span = old.partition.span;
    for (const auto& row : session.run<sql::StreamBlockers>(stream.id, span.from, span.to)) {
      if (old.in_spite_of_groups && !row.claimed) continue;
      held.push_back({old.partition.name, std::string(row.group_name), row.events});
    }
    leaving.push_back({std::move(old), std::move(held)});
  }
  return leaving;
}

}  // namespace

std::vector<StreamLine> list_streams(pg::Session& session) {
  std::vector<StreamLine> streams;
  for (const auto& row : session.run<sql::ListStreams>()) {
    streams.push_back({.name = std::string(row.name),
                       .schema = std::string(row.schema_name),
                       .table = std::string(row.table_name),
                       .groups = row.groups,
                       .partitions = row.partitions,
                       .bytes = row.bytes,
                       .oldest_at = row.oldest_at,
                       .newest_at = row.newest_at,
                       .waiting = row.waiting});
  }
  return streams;
}

std::vector<GroupFigures> group_figures(pg::Session& session, const StreamDefinition& stream,
                                        std::optional<std::int32_t> only) {
  const auto times = session.run<sql::StreamOverview>(stream.id);
  if (times.empty()) return {};
  const WallTime now = times.one().now;
  std::vector<GroupFigures> groups;
  for (const auto& row : session.run<sql::StreamGroups>(stream.id, only)) {
    GroupFigures group{.id = row.id,
                       .name = std::string(row.name),
                       .paused = row.paused,
                       .max_attempts = row.max_attempts,
                       .backoff = milliseconds(row.backoff_ms),
                       .backoff_cap = milliseconds(row.backoff_cap_ms),
                       .consumers = row.consumers,
                       .chunks = row.chunks,
                       .events = row.events,
                       .claimed = row.claimed,
                       .again = row.again,
                       .dead = row.dead,
                       .lost = row.lost,
                       .lag = {},
                       .oldest_at = row.oldest_at,
                       .lanes = row.lanes};
    if (row.oldest_cut_at) group.lag = std::max<Duration>(now - *row.oldest_cut_at, Duration::zero());
    groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<LaneFigures> lane_figures(pg::Session& session, const StreamDefinition& stream, WallTime now) {
  std::vector<LaneFigures> lanes;
  for (const auto& row : session.run<sql::StreamLanes>(stream.id)) {
    LaneFigures lane{.group = std::string(row.group_name),
                     .lane = row.lane,
                     .slowest = row.is_slowest,
                     .chunks = row.chunks,
                     .lag = {},
                     .failed_event = row.failed_event,
                     .attempts = row.attempt,
                     .retry_at = row.retry_at,
                     .error = std::string(row.error.value_or(std::string_view()))};
    if (row.cut_at) lane.lag = std::max<Duration>(now - *row.cut_at, Duration::zero());
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

std::optional<Uncut> count_uncut(pg::Session& session, const StreamDefinition& stream) {
  const StreamSql sql(stream);
  const auto server = session.run<sql::StreamServer>();
  const auto rights = session.run<sql::StreamRights>(stream.id);
  if (server.one().server_id != stream.server_id || rights.empty() || !rights.one().may_read)
    return std::nullopt;
  const Horizon last = last_cut(session, stream).horizon;
  // Two ranges of the index; OR between them would be a look at the whole table.
  const pg::Result found = session.execute(
      fmt::format("SELECT pg_catalog.count(*) FROM (SELECT FROM {0} e WHERE {1} >= ($1::bigint)::text::xid8 "
                  "UNION ALL SELECT FROM {0} e WHERE {1} = ANY (ARRAY(SELECT x::text::xid8 FROM "
                  "pg_catalog.unnest($2::bigint[]) x)) LIMIT $3::bigint) u",
                  sql.table(), sql.xid()),
      last.end, last.open, kMostUncut + 1);
  const auto events = found[0].get<std::int64_t>(0);
  return Uncut{std::min(events, kMostUncut), events > kMostUncut};
}

StreamOverview overview_of(pg::Session& session, const StreamDefinition& stream) {
  require_rights(session, stream, Rights::none);
  const auto facts = session.run<sql::StreamOverview>(stream.id);
  const auto settings = session.run<sql::StreamKeeping>(stream.id);
  const auto fact = facts.one();
  const auto kept = settings.one();
  const auto span = [](const std::optional<std::int64_t>& ms) {
    return ms ? std::optional<Duration>(milliseconds(*ms)) : std::nullopt;
  };
  StreamOverview overview{.created_at = fact.created_at,
                          .now = fact.now,
                          .span = span(kept.span_ms),
                          .ahead = kept.ahead,
                          .retention = {.time = span(kept.retain_ms),
                                        .bytes = kept.retain_bytes,
                                        .hold = milliseconds(kept.hold_ms)},
                          .here = fact.here,
                          .cuts = fact.cut_number,
                          .cut_at = fact.cut_at,
                          .chunks = fact.chunks,
                          .oldest_at = fact.oldest_at,
                          .newest_at = fact.newest_at,
                          .uncut = count_uncut(session, stream),
                          .partitions = partitions_of(session, stream),
                          .detached = {},
                          .leaving = {},
                          .groups = group_figures(session, stream),
                          .lanes = lane_figures(session, stream, fact.now)};
  for (const auto& row : session.run<sql::StreamDetached>(stream.id))
    overview.detached.emplace_back(row.table_name);
  if (overview.span) overview.leaving = leaving_of(session, stream, overview);
  return overview;
}

}  // namespace weir::stream
