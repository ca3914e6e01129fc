#include "stream/admin.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "schema/queries/streams_admin.h"
#include "schema/queries/work.h"
#include "stream/chunk_row.h"
#include "stream/group_definition.h"
#include "stream/overview.h"
#include "stream/partition_keeper.h"
#include "stream/stream_sql.h"
#include "stream/stream_table.h"
#include "stream/table_rights.h"

namespace weir::stream {
namespace {

/// In one statement: others wait for no longer than that takes.
constexpr std::int32_t kMostReplayed = 10'000;
constexpr std::int32_t kWoken = 16;
constexpr const char* kLockTimeout = "5s";
constexpr std::string_view kObjectInUse = "55006";
/// A row is written for each chunk, and there may be millions.
constexpr Duration kMostForAllChunks = std::chrono::hours(1);

/// For as long as it lives, an answer is awaited for longer than the session would.
class Patience {
 public:
  explicit Patience(pg::Session& session) : session_(session), before_(session.options().timeout) {
    session_.set_timeout(std::max(before_, kMostForAllChunks));
  }
  ~Patience() { session_.set_timeout(before_); }
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;

 private:
  pg::Session& session_;
  const Duration before_;
};

std::optional<std::int64_t> to_ms(const std::optional<Duration>& span) {
  if (!span) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::milliseconds>(*span).count();
}

void wake(pg::Session& session, std::int32_t group) {
  session.run<sql::WakeTopic>(GroupDefinition{.id = group, .name = {}}.topic(), kWoken);
}

void require_idle(pg::Session& session, const StreamDefinition& stream, std::optional<std::int32_t> only) {
  for (const GroupFigures& group : group_figures(session, stream, only)) {
    if (group.consumers == 0) continue;
    throw Error(ExitCode::refused,
                fmt::format("{} for the group {} of the stream {}",
                            group.consumers == 1 ? "a process consumes"
                                                 : fmt::format("{} processes consume", group.consumers),
                            printable(group.name), printable(stream.name)),
                "Stop them first. One that died counts until its lease has ended, a few seconds later.");
  }
}

/// Some of a chunk's events, as letters that are due: a chunk is only ever cut off at its beginning.
std::int64_t replay_by_letters(pg::Session& session, const StreamSql& sql, std::int32_t group,
                               const Chunk& chunk, WallTime from, WallTime to) {
  const std::string event =
      fmt::format("{} AS id, {} AS at, pg_catalog.to_jsonb(e.*) AS event", sql.id(), sql.at());
  const pg::Result added = session.execute(
      fmt::format(
          "WITH added AS (INSERT INTO weir.stream_letter (group_id, attempt, next_at, event_id, at, event, "
          "error) SELECT $1::integer, 0, pg_catalog.clock_timestamp(), e.id, e.at, e.event, "
          "'replayed' FROM ({}) e WHERE e.at >= $2::timestamptz AND e.at < $3::timestamptz RETURNING "
          "1) SELECT pg_catalog.count(*) FROM added",
          sql.select({chunk}, event)),
      group, from, to);
  return added[0].get<std::int64_t>(0);
}

/// What a stream's table has that other tables have not, but for its columns.
void make_ordinary(pg::Session& session, const StreamDefinition& stream) {
  const std::string table = in_schema(stream, stream.table);
  session.execute(fmt::format("DROP TRIGGER IF EXISTS {} ON {}", kNoUpdate, table));
  if (stream.adopted) {
    // Its check and its index go with it, those of partitions too. Numbers that nobody checks any more would
    // be taken for right by a later adoption.
    session.execute(fmt::format("ALTER TABLE {} DROP COLUMN IF EXISTS {}", table,
                                pg::quote_identifier(stream.columns.xid)));
    return;
  }
  const auto drop_checks = [&](const std::string& name) {
    session.execute(fmt::format("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}, DROP CONSTRAINT IF EXISTS {}",
                                name, kXidCheck, kServerCheck));
  };
  drop_checks(table);
  for (const Partition& partition : partitions_of(session, stream)) {
    const std::string name = in_schema(stream, partition.name);
    drop_checks(name);
    session.execute(fmt::format("DROP TRIGGER IF EXISTS {} ON {}", kSeal, name));
  }
}

}  // namespace

std::int32_t find_group(pg::Session& session, const StreamDefinition& stream, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& group : session.run<sql::StreamGroupNames>(stream.id)) {
    if (group.name == name) return group.id;
    names.emplace_back(group.name);
  }
  const std::vector<std::string_view> known(names.begin(), names.end());
  const auto near = closest(name, known);
  throw Error(
      ExitCode::definition,
      fmt::format("the stream {} has no group '{}'", printable(stream.name), printable(name)),
      near ? fmt::format("Did you mean '{}'?", printable(*near))
      : names.empty()
          ? fmt::format("It has none yet. Its first consumer makes one: weir stream consume {} --group {} ..",
                        printable(stream.name), printable(name))
          : fmt::format("There are: {}.", printable(fmt::format("{}", fmt::join(names, ", ")))));
}

std::int64_t seek_group(pg::Session& session, std::int32_t group, WallTime from) {
  const Patience patience(session);
  try {
    const auto rows = session.run<sql::SeekStreamGroup>(group, from);
    return rows.one().chunks;
  } catch (const pg::Error& error) {
    if (error.sqlstate() != kObjectInUse) throw;
    throw Error(ExitCode::refused, error.info().message, error.remedy());
  }
}

std::int64_t replay_events(pg::Session& session, const StreamDefinition& stream, std::int32_t group,
                           WallTime from, WallTime to) {
  const auto settings = session.run<sql::StreamGroupSettings>(group);
  if (!settings.empty() && settings.one().lanes > 0) {
    throw Error(
        ExitCode::refused,
        fmt::format("the group {} is kept in order: events of a time that is over would come behind later "
                    "ones with the same key",
                    printable(settings.one().name)),
        "weir stream seek sets it back to a time, and it goes on from there in order. Or give the events to "
        "another group.");
  }
  const StreamSql sql(stream);
  const Patience patience(session);
  pg::Transaction transaction(session);
  static_cast<void>(session.run<sql::LockStreamPast>(stream.id));
  static_cast<void>(session.run<sql::RefuseWhileDropping>(stream.id, from));
  const auto whole = session.run<sql::ReplayStreamChunks>(stream.id, group, from, to);
  std::int64_t events = whole.one().events;
  const auto across = session.run<sql::StreamChunksAcross>(stream.id, group, from, to);
  for (const auto& row : across) {
    if (row.waits && !row.since) continue;
    Chunk chunk = chunk_of(row);
    chunk.first_at = row.first_at;  // what waits begins later
    const WallTime end = row.since ? std::min(to, *row.since) : to;
    events += replay_by_letters(session, sql, group, chunk, from, end);
  }
  wake(session, group);
  transaction.commit();
  return events;
}

std::vector<DeadLetter> dead_letters(pg::Session& session, std::int32_t group, std::int64_t most) {
  std::vector<DeadLetter> letters;
  for (const auto& row : session.run<sql::ListDeadLetters>(group, most)) {
    letters.push_back({.event = row.event_id,
                       .at = row.at,
                       .failed_at = row.failed_at,
                       .attempts = row.attempt,
                       .error = std::string(row.error),
                       .row = std::string(row.event)});
  }
  return letters;
}

Replayed replay_dead(pg::Session& session, std::int32_t group, std::span<const std::int64_t> events) {
  std::optional<std::vector<std::int64_t>> ids;
  if (!events.empty()) ids.emplace(events.begin(), events.end());
  Replayed replayed;
  for (;;) {
    const auto rows = session.run<sql::ReplayDeadLetters>(group, ids, kMostReplayed);
    replayed.letters += rows.one().replayed;
    replayed.events += rows.one().different;
    wake(session, group);
    if (rows.one().replayed < kMostReplayed) return replayed;
  }
}

bool pause_group(pg::Session& session, std::int32_t group, bool paused) {
  const auto rows = session.run<sql::PauseStreamGroup>(group, paused);
  if (!paused) wake(session, group);
  return !rows.empty() && rows.one().changed;
}

void change_stream(pg::Session& session, const StreamDefinition& stream, const StreamChange& change) {
  if (stream.adopted && (change.ahead || change.hold || change.retain || change.retain_bytes)) {
    throw Error(
        ExitCode::refused,
        fmt::format("the stream {} was adopted: Weir neither makes nor drops partitions of its table",
                    printable(stream.name)),
        fmt::format("Who owns {} keeps it as before. weir stream lag {} says what groups have not had "
                    "yet, before you drop any.",
                    printable(stream.schema + "." + stream.table), printable(stream.name)));
  }
  session.run<sql::SetStream>(stream.id, change.ahead, change.chunk_events, to_ms(change.hold),
                              change.retain.has_value(), to_ms(change.retain.value_or(std::nullopt)),
                              change.retain_bytes.has_value(), change.retain_bytes.value_or(std::nullopt));
}

void change_group(pg::Session& session, const StreamDefinition& stream, std::int32_t group,
                  const GroupChange& change) {
  pg::Transaction transaction(session);
  static_cast<void>(session.run<sql::LockStream>(stream.id));
  for (const GroupFigures& now : group_figures(session, stream, group)) {
    const Duration first = change.backoff.value_or(now.backoff);
    const Duration longest = change.backoff_cap.value_or(now.backoff_cap);
    if (first <= longest) continue;
    throw Error(ExitCode::usage,
                fmt::format("the first pause, {}, is longer than the longest, {}", human_duration(first),
                            human_duration(longest)),
                "Change both: --backoff TIME --backoff-cap TIME");
  }
  const auto attempts = change.max_attempts
                            ? std::optional<std::int16_t>(static_cast<std::int16_t>(*change.max_attempts))
                            : std::nullopt;
  session.run<sql::SetStreamGroup>(group, attempts, to_ms(change.backoff), to_ms(change.backoff_cap));
  transaction.commit();
}

void drop_group(pg::Session& session, const StreamDefinition& stream, std::int32_t group) {
  const Patience patience(session);
  pg::Transaction transaction(session);
  require_idle(session, stream, group);
  static_cast<void>(session.run<sql::LockStreamPast>(stream.id));
  session.run<sql::EmptyStreamGroup>(group);
  // A cut that puts chunks before it would find it gone, and fail.
  static_cast<void>(session.run<sql::LockStream>(stream.id));
  session.run<sql::DropStreamGroup>(group);
  transaction.commit();
}

void drop_stream(pg::Session& session, const StreamDefinition& stream, bool keep_table) {
  if (stream.adopted && !keep_table) {
    throw Error(ExitCode::refused,
                fmt::format("the table {} was there before it was adopted as the stream {}",
                            printable(stream.schema + "." + stream.table), printable(stream.name)),
                "--keep-table gives it back as it was. Then you may drop it yourself.");
  }
  const Patience patience(session);
  pg::Transaction transaction(session);
  require_idle(session, stream, {});
  transaction.set_local("lock_timeout", kLockTimeout);
  const std::string table = in_schema(stream, stream.table);
  const pg::Result found = session.execute("SELECT pg_catalog.to_regclass($1::text) IS NOT NULL", table);
  if (found[0].get<bool>(0)) {
    require_rights(session, stream, Rights::own);
    if (keep_table) {
      make_ordinary(session, stream);
    } else {
      session.execute("DROP TABLE " + table);
    }
  }
  // Those on their way out are attached no more.
  if (!keep_table) {
    for (const auto& row : session.run<sql::StreamDetached>(stream.id)) {
      if (row.is_there && !row.attached)
        session.execute("DROP TABLE IF EXISTS " + in_schema(stream, std::string(row.table_name)));
    }
  }
  session.run<sql::DropStream>(stream.id);
  transaction.commit();
}

}  // namespace weir::stream
