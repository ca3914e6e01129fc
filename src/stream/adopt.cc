#include "stream/adopt.h"

#include <fmt/format.h>

#include "base/backoff.h"
#include "base/text.h"
#include "base/wait.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "schema/queries/streams_adopt.h"
#include "stream/adopt_catalog.h"
#include "stream/adopt_columns.h"
#include "stream/cut.h"
#include "stream/stream_table.h"

namespace weir::stream {
namespace {

constexpr BackoffPolicy kStepBack{.base = std::chrono::milliseconds(200), .cap = std::chrono::seconds(5)};
/// To build an index, or to count old rows.
constexpr Duration kLongest = std::chrono::hours(24 * 7);

/// Two adoptions of one table would take the other's unfinished index for one that was left behind.
class AdoptLock {
 public:
  AdoptLock(pg::Session& session, const AdoptFacts& table) : session_(session), table_id_(table.id) {
    const auto answer = session.run<sql::TryAdoptStreamLock>(table.id);
    if (answer.one().locked) return;
    throw Error(
        ExitCode::refused, fmt::format("somebody is adopting {} already", printable(table.label())),
        "Wait for them. The server goes on with an index for a while whose builder was killed: SELECT "
        "pid, query FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%';");
  }
  ~AdoptLock() {
    try {
      if (session_.is_open()) session_.run<sql::ReleaseAdoptStreamLock>(table_id_);
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): it ends with the session
    }
  }
  AdoptLock(const AdoptLock&) = delete;
  AdoptLock& operator=(const AdoptLock&) = delete;

 private:
  pg::Session& session_;
  std::int64_t table_id_;
};

/// Settings of the role, or of the database, are meant for other statements.
void lift_limits(pg::Session& session) {
  session.set("lock_timeout", "0");
  session.set("statement_timeout", "0");
  session.set_timeout(kLongest);
}

class Adopting {
 public:
  Adopting(pg::Session& session, const AdoptOptions& options) : session_(session), options_(options) {}

  void change(const AdoptStep& step) {
    const Deadline deadline = Deadline::after(options_.patience);
    Wakeup wakeup;
    for (int attempt = 1;; ++attempt) {
      try {
        pg::Transaction transaction(session_);
        transaction.set_local(
            "lock_timeout",
            fmt::format("{}ms", std::chrono::ceil<std::chrono::milliseconds>(options_.lock_timeout).count()));
        for (const std::string& statement : step.sql) session_.execute(statement);
        transaction.commit();
        return;
      } catch (const pg::LockTimeout&) {
        if (deadline.expired()) {
          throw Error(
              ExitCode::database,
              fmt::format("{} was in use all the time: its lock was not to be had ({} attempts)",
                          printable(step.on), attempt),
              "Long transactions hold locks on it, also prepared ones: SELECT pid, query FROM "
              "pg_stat_activity WHERE xact_start < now() - interval '1 minute'; What was done stays: run "
              "this again, it goes on from there.");
        }
      } catch (const pg::Retryable&) {
        if (deadline.expired()) throw;
      }
      if (options_.on_retry) options_.on_retry(step, attempt);
      const Deadline pause = Deadline::after(backoff_delay(kStepBack, attempt, random_unit()));
      if (wait_fd(-1, 0, pause.sooner(deadline), options_.stop, wakeup) == WaitEnd::stopped)
        pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped; what was done stays"});
    }
  }

  void build(const AdoptStep& step) {
    for (const std::string& statement : step.sql) session_.execute(statement);
  }

  AdoptReport make(const Adoption& adoption) {
    pg::Transaction transaction(session_);
    AdoptReport report;
    StreamDefinition& stream = report.stream;
    stream.name = adoption.request.table;
    stream.schema = adoption.table.schema;
    stream.table = adoption.table.name;
    stream.columns = adoption.columns;
    stream.chunk_events = adoption.request.chunk_events;
    stream.adopted = true;
    const auto answer = session_.run<sql::StreamHorizon>();
    stream.server_id = answer.one().server_id;
    const Horizon now = parse_horizon(answer.one().snapshot);
    require_numbers_before(stream, now.end);
    const auto made = session_.run<sql::MakeAdoptedStream>(
        stream.name, stream.schema, stream.table, stream.columns.xid, stream.columns.id, stream.columns.at,
        stream.columns.key, stream.columns.payload, static_cast<std::int32_t>(stream.chunk_events),
        stream.server_id);
    stream.id = made.one().id;
    const StreamSql sql(stream);
    for (bool more = true; more;) {
      const CutReport cut = cut_until(session_, stream, sql, last_cut(session_, stream), now);
      report.events += cut.events;
      report.chunks += cut.chunks;
      more = cut.more;
    }
    transaction.commit();
    return report;
  }

 private:
  /// A dump may have been taken between two steps: what it brought along has another server's numbers. Those
  /// that are below ours are as good as any, for nothing was cut before.
  void require_numbers_before(const StreamDefinition& stream, Xid end) {
    const std::string table = in_schema(stream, stream.table);
    const std::string xid = pg::quote_identifier(stream.columns.xid);
    const pg::Result highest = session_.execute(
        fmt::format("SELECT e.{0}::text::bigint FROM {1} e ORDER BY e.{0} DESC LIMIT 1", xid, table));
    if (highest.rows() == 0 || highest[0].get<std::int64_t>(0) < end) return;
    throw Error(
        ExitCode::refused,
        fmt::format("rows of {} carry the numbers of another server's transactions: it was dumped while it "
                    "was being adopted",
                    printable(table)),
        fmt::format("ALTER TABLE {} DROP COLUMN {}; and adopt it again.", table, xid));
  }

  pg::Session& session_;
  const AdoptOptions& options_;
};

}  // namespace

Adoption plan_adoption(pg::Session& session, const AdoptRequest& request) {
  Adoption adoption{
      .request = request, .table = read_adopt_facts(session, request.table), .columns = {}, .steps = {}};
  require_adoptable(adoption.table, request);
  adoption.columns = adopted_columns(adoption.table, request);
  read_adopt_indexes(session, adoption.table, adoption.columns.id);
  adoption.steps = plan_adoption(adoption.table, adoption.columns);
  return adoption;
}

AdoptReport adopt_stream(pg::Session& session, const AdoptRequest& request, const AdoptOptions& options) {
  if (!session.keeps_state()) {
    throw Error(ExitCode::refused, "a table cannot be adopted by way of a pooler",
                "Indexes are built for hours in a session of one's own: connect to the server itself.");
  }
  const AdoptLock lock(session, read_adopt_facts(session, request.table));
  lift_limits(session);
  Adopting adopting(session, options);
  const Adoption adoption = plan_adoption(session, request);
  for (const AdoptStep& step : adoption.steps) {
    if (options.on_step) options.on_step(step);
    switch (step.kind) {
      case AdoptStep::Kind::change: adopting.change(step); break;
      case AdoptStep::Kind::build: adopting.build(step); break;
      case AdoptStep::Kind::make: return adopting.make(adoption);
    }
  }
  throw Error(ExitCode::failed, "the plan of an adoption has no end");
}

}  // namespace weir::stream
