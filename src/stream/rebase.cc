#include "stream/rebase.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "pg/identifier.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "stream/cut.h"
#include "stream/partition_keeper.h"
#include "stream/stream_table.h"

namespace weir::stream {
namespace {

/// What was written here before the stream was taken over, with numbers that were cut on the other server: it
/// is written again, as of now. A dump restores the events before Weir's own tables, and nobody writes before
/// it has ended: rows that name a later transaction than that, and whose header is the same or one of its
/// savepoints, which come later still, were written here. Files that were copied as they are (pg_upgrade) go
/// on counting.
std::int64_t renumber(pg::Session& session, const StreamDefinition& stream, Xid cut_before,
                      std::int64_t restored_by) {
  const auto columns = session.run<sql::StreamTableColumns>(stream.schema, stream.table, stream.columns.xid);
  const std::string names(columns.one().names);
  const std::string table = in_schema(stream, stream.table);
  const std::string xid = pg::quote_identifier(stream.columns.xid) + "::text::bigint";
  const pg::Result moved = session.execute(
      fmt::format(
          "WITH here AS MATERIALIZED (SELECT e.part, e.place FROM (SELECT tableoid AS part, ctid AS place, "
          "xmin::text::bigint AS header, {1} AS named, {1} - $2::bigint AS own FROM {0}) e WHERE e.named < "
          "$1::bigint AND {3}), gone AS (DELETE FROM {0} e USING here h "
          "WHERE "
          "e.tableoid = h.part AND e.ctid = h.place RETURNING {2}), again AS (INSERT INTO {0} ({2}) "
          "OVERRIDING SYSTEM "
          "VALUE SELECT {2} FROM gone RETURNING 1) SELECT pg_catalog.count(*) FROM again",
          table, xid, names, written_since("$3::bigint", "e.header", "e.own")),
      cut_before, stream.shift, restored_by);
  return moved[0].get<std::int64_t>(0);
}

/// Whoever keeps the partitions shuts them again.
void unseal(pg::Session& session, const StreamDefinition& stream) {
  for (const Partition& partition : partitions_of(session, stream)) {
    if (partition.sealed)
      session.execute(
          fmt::format("ALTER TABLE {} DISABLE TRIGGER {}", in_schema(stream, partition.name), kSeal));
  }
}

}  // namespace

std::string written_since(std::string_view restored_by, std::string_view header, std::string_view own) {
  constexpr std::int64_t kRound = std::int64_t{1} << 32U;
  const auto after = [&](std::string_view xid) {
    return fmt::format("((({} - {}) % {} + {}) % {})", xid, restored_by, kRound, kRound, kRound);
  };
  return fmt::format("({} BETWEEN 1 AND {} AND {} < {})", after(own), after(header), after(header),
                     kRound / 2);
}

RebaseReport rebase_stream(pg::Session& session, const StreamDefinition& stream, Duration patience) {
  const std::string table = in_schema(stream, stream.table);
  const StreamSql sql(stream);
  pg::Transaction transaction(session);
  transaction.set_local(
      "lock_timeout",
      fmt::format("{}ms", std::chrono::duration_cast<std::chrono::milliseconds>(patience).count()));
  session.execute(fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table));
  const auto server = session.run<sql::StreamServer>();
  const std::int64_t server_id = server.one().server_id;
  if (server_id == stream.server_id) {
    throw Error(ExitCode::refused, fmt::format("the stream {} is this server's already", stream.name),
                "Nothing has to be done.");
  }
  LastCut last = last_cut(session, stream);
  const Xid cut_before = last.horizon.end;
  const auto restored = session.run<sql::StreamRestored>(stream.id);  // before this writes cuts of its own
  const pg::Result highest = session.execute(fmt::format(
      "SELECT ({}::text)::bigint FROM {} e ORDER BY {} DESC LIMIT 1", sql.xid(), table, sql.xid()));
  Horizon end{.end = last.horizon.end, .open = {}};
  if (highest.rows() > 0) end.end = std::max(end.end, highest[0].get<std::int64_t>(0) + 1);

  RebaseReport report;
  for (bool more = true; more; last = last_cut(session, stream)) {
    // Whatever was open there has ended, here.
    const CutReport cut = cut_until(session, stream, sql, last, end);
    report.events += cut.events;
    more = cut.more;
  }
  const pg::Result oldest =
      session.execute("SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint");
  report.shift = std::max<std::int64_t>(0, end.end - oldest[0].get<std::int64_t>(0));
  session.run<sql::RebaseStream>(stream.id, server_id, report.shift, end.end);
  if (report.shift != stream.shift) {
    StreamDefinition moved = stream;
    moved.shift = report.shift;
    session.execute(fmt::format("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}", table,
                                pg::quote_identifier(stream.columns.xid), own_xid(report.shift)));
    session.execute(fmt::format("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}", table, kXidCheck));
    add_xid_check(session, moved);
  }
  unseal(session, stream);
  if (!restored.one().is_copy)
    report.renumbered = renumber(session, stream, cut_before, restored.one().by_xid);
  transaction.commit();
  return report;
}

}  // namespace weir::stream
