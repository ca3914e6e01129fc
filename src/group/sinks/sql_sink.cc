#include "group/sinks/sql_sink.h"

#include <chrono>

#include <fmt/format.h>

#include "pg/error.h"
#include "pg/transaction.h"
#include "work/user_script.h"

namespace weir::group {
namespace {

constexpr std::string_view kColumns =
    "tenant text NOT NULL, key text NOT NULL, run_id bigint NOT NULL, run text, idx integer NOT NULL, final "
    "boolean NOT "
    "NULL, attempt integer NOT NULL, rows bigint, bytes bigint, created_at timestamptz NOT NULL, payload "
    "jsonb NOT NULL";

/// By way of the server alone: a payload may be large.
constexpr std::string_view kFill =
    "INSERT INTO pg_temp.weir_batch (tenant, key, run_id, run, idx, final, attempt, rows, bytes, created_at, "
    "payload) "
    "SELECT r.tenant, r.key, r.id, r.run, b.idx, b.final, $4, b.rows, b.bytes, b.created_at, b.payload "
    "FROM weir.batch b JOIN weir.batch_run r ON r.id = b.run_id "
    "WHERE b.run_at = $1 AND b.run_id = $2 AND b.idx = $3";

/// Once for a session. Asked for each time, because the transaction that made it may have been rolled back.
void make_relation(pg::Session& session) {
  if (session.execute("SELECT pg_catalog.to_regclass('pg_temp.weir_batch') IS NOT NULL")[0].get<bool>(0))
    return;
  session.execute(fmt::format("CREATE TEMPORARY TABLE weir_batch ({}) ON COMMIT {}", kColumns,
                              session.keeps_state() ? "DELETE ROWS" : "DROP"));
}

std::string script_of(const SqlSink::Options& options) {
  return work::bounded_script(work::user_script(options.sql, options.search_path), options.timeout);
}

/// Nobody waits longer for a consumer to start.
constexpr Duration kCheckTimeout = std::chrono::seconds(10);

/// The SQLSTATE with which the server refuses `statement`, which holds the user's SQL; empty where it does
/// not. It goes as one statement: where the user's SQL makes more than one of it, all of it is refused.
std::string refusal_of(pg::Session& session, const SqlSink::Options& options, const std::string& statement) {
  session.execute_script("SAVEPOINT weir_check");
  if (!options.search_path.empty())
    session.execute("SELECT pg_catalog.set_config('search_path', $1, true)", options.search_path);
  std::string refusal;
  try {
    session.execute(statement);
  } catch (const pg::Error& error) {
    if (!session.is_open()) throw;
    refusal = error.sqlstate();
  }
  session.execute_script("ROLLBACK TO SAVEPOINT weir_check");
  return refusal;
}

/// Nothing of it is run: the server understands the queries as the body of a function, and of a single one it
/// makes a plan, which finds also what its user may not do. False: only running it tells.
bool are_good_queries(pg::Session& session, const SqlSink::Options& options) {
  const std::string body =
      "CREATE FUNCTION pg_temp.weir_check() RETURNS void BEGIN ATOMIC\n" + options.sql + "\n;\nEND";
  return refusal_of(session, options, body).empty() &&
         refusal_of(session, options, "EXPLAIN (COSTS OFF) " + options.sql) != "42501";
}

}  // namespace

SqlSink::SqlSink(const Options& options) : script_(script_of(options)) {}

work::Outcome SqlSink::apply(const Batch& batch, const Application& application) {
  pg::Session& session = *application.session;
  make_relation(session);
  session.execute(std::string(kFill), batch.run_at, batch.run_id, batch.idx, batch.attempt);
  try {
    session.execute_script(script_);
  } catch (const pg::Error& error) {
    if (!session.is_open() || !is_fault_of_data(error.sqlstate())) throw;
    return work::Outcome::discarded(error.what());
  }
  return work::Outcome::done();
}

void check_batch_sql(pg::Session& session, const SqlSink::Options& options) {
  const std::string script = work::user_script(options.sql, options.search_path);
  pg::Transaction transaction(session);
  make_relation(session);
  session.execute_script(work::set_statement_timeout(kCheckTimeout));
  if (are_good_queries(session, options)) return;
  // DO, what one statement makes and another one needs, a mistake; a query without a right does not begin.
  try {
    session.execute_script(script);
  } catch (const pg::Error& error) {
    if (session.is_open() && error.kind() == pg::ErrorKind::cancelled) return;
    work::refuse_broken_script(
        session, options.sql, error,
        "The batch is the row of weir_batch (tenant, key, run_id, run, idx, final, attempt, rows, "
        "bytes, created_at, payload); other names are those that your psql finds, and COMMIT has "
        "no place in it.");
  }
}

bool is_fault_of_data(std::string_view sqlstate) noexcept { return sqlstate.starts_with("22"); }

bool is_fault_of_rows(std::string_view sqlstate) noexcept {
  return is_fault_of_data(sqlstate) || sqlstate == "42703" || sqlstate == "428C9";
}

}  // namespace weir::group
