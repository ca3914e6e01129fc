#include "stream/cut.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "pg/error.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"

namespace weir::stream {
namespace {

/// Transactions in one cut: what is kept in memory of them.
constexpr std::int64_t kMostTransactions = 20'000;
/// A cut without events renews what the next ones look for, when there is much to look for in vain.
constexpr std::size_t kManyLate = 64;

/// The numbers of another server's transactions say nothing about ours: events would be lost or come again.
Horizon horizon_now(pg::Session& session, const StreamDefinition& stream) {
  const auto answer = session.run<sql::StreamHorizon>();
  const auto row = answer.one();
  if (row.server_id != stream.server_id) {
    throw Error(
        ExitCode::refused,
        fmt::format(
            "the stream {} was moved here from another server, by a dump or an upgrade: the numbers of "
            "its transactions are not this server's",
            stream.name),
        fmt::format("weir stream rebase {} takes it over, once; nothing is lost or repeated.", stream.name));
  }
  Horizon horizon = parse_horizon(row.snapshot);
  horizon.end += stream.shift;
  for (Xid& xid : horizon.open) xid += stream.shift;
  return horizon;
}

std::vector<Written> decode(const pg::Result& rows) {
  std::vector<Written> written;
  written.reserve(static_cast<std::size_t>(rows.rows()));
  for (const pg::Row row : rows) {
    written.push_back({.xid = row.get<std::int64_t>(0),
                       .events = row.get<std::int64_t>(1),
                       .first_at = row.get<WallTime>(2),
                       .last_at = row.get<WallTime>(3)});
  }
  return written;
}

std::vector<Piece> cut_up(pg::Session& session, const StreamSql& sql, const Written& large,
                          std::int64_t size) {
  std::vector<Piece> pieces;
  for (const pg::Row row : session.execute(sql.pieces(), large.xid, size)) {
    pieces.push_back({.last = row.get<std::int64_t>(0),
                      .events = row.get<std::int64_t>(1),
                      .first_at = row.get<WallTime>(2),
                      .last_at = row.get<WallTime>(3)});
  }
  return pieces;
}

/// The columns of the chunks, as store_stream_cut takes them.
struct ChunkColumns {
  std::vector<std::int64_t> from, to, events;
  std::vector<std::optional<std::int64_t>> after, last;
  std::vector<WallTime> first_at, last_at;
  std::vector<std::string> open, late;

  explicit ChunkColumns(const std::vector<Chunk>& chunks) {
    for (const Chunk& chunk : chunks) {
      from.push_back(chunk.from);
      to.push_back(chunk.to);
      events.push_back(chunk.events);
      after.push_back(chunk.slice ? std::optional(chunk.slice->after) : std::nullopt);
      last.push_back(chunk.slice ? std::optional(chunk.slice->last) : std::nullopt);
      first_at.push_back(chunk.first_at);
      last_at.push_back(chunk.last_at);
      open.push_back(fmt::format("{{{}}}", fmt::join(chunk.open, ",")));
      late.push_back(fmt::format("{{{}}}", fmt::join(chunk.late, ",")));
    }
  }
};

void store(pg::Session& session, const StreamDefinition& stream, std::int64_t number, const Horizon& horizon,
           const std::vector<Chunk>& chunks) {
  const ChunkColumns columns(chunks);
  const std::vector<std::string_view> open(columns.open.begin(), columns.open.end());
  const std::vector<std::string_view> late(columns.late.begin(), columns.late.end());
  session.run<sql::StoreStreamCut>(stream.id, number, horizon.end, horizon.open, columns.from, columns.to,
                                   columns.after, columns.last, columns.events, columns.first_at,
                                   columns.last_at, open, late);
}

}  // namespace

LastCut last_cut(pg::Session& session, const StreamDefinition& stream) {
  const auto answer = session.run<sql::LastStreamCut>(stream.id);
  if (answer.empty()) {
    throw Error(ExitCode::failed, fmt::format("the stream {} is gone", stream.name),
                "Make it with weir stream create.");
  }
  const auto row = answer.one();
  return {row.number, {row.ended, row.open}};
}

CutReport cut_until(pg::Session& session, const StreamDefinition& stream, const StreamSql& sql,
                    const LastCut& before, Horizon now) {
  Ended ended = ended_between(before.horizon, now);
  if (ended.none()) return {};
  std::vector<Written> late;
  if (!ended.late.empty()) late = decode(session.execute(sql.written_late(), ended.late));
  const std::vector<Written> written =
      decode(session.execute(sql.written(), ended.from, ended.to, ended.open, kMostTransactions));
  const bool more = written.size() == static_cast<std::size_t>(kMostTransactions);
  if (more) {
    now = cut_off(now, written.back().xid + 1);
    ended = ended_between(before.horizon, now);
  }
  const std::vector<Chunk> chunks =
      plan_chunks(ended, late, written, stream.chunk_events,
                  [&](const Written& large) { return cut_up(session, sql, large, stream.chunk_events); });
  if (chunks.empty() && ended.late.size() < kManyLate) return {};
  store(session, stream, before.number + 1, now, chunks);
  CutReport report{.events = 0, .chunks = static_cast<std::int64_t>(chunks.size()), .more = more};
  for (const Chunk& chunk : chunks) report.events += chunk.events;
  return report;
}

CutReport cut(pg::Session& session, const StreamDefinition& stream, const StreamSql& sql) {
  pg::Transaction transaction(session);
  const LastCut before = last_cut(session, stream);
  // READ COMMITTED: what has ended by this snapshot, every later statement sees.
  const CutReport report = cut_until(session, stream, sql, before, horizon_now(session, stream));
  transaction.commit();
  return report;
}

void merge_chunks(pg::Session& session, const StreamDefinition& stream, std::int64_t& up_to) {
  constexpr std::int32_t kMost = 2000;
  const auto merged = session.run<sql::MergeStreamChunks>(stream.id, up_to, kMost);
  up_to = merged.one().next.value_or(0);
}

bool is_cut_conflict(const pg::Error& error) noexcept {
  // P0002: he is two cuts ahead.
  return error.sqlstate() == "23505" || error.sqlstate() == "P0002" ||
         error.kind() == pg::ErrorKind::retryable;
}

}  // namespace weir::stream
