#include "group/sinks/wire_sink.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "group/sinks/sql_sink.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/make_if_missing.h"
#include "pg/transaction.h"

namespace weir::group {
namespace {

/// Of one INSERT: what a server takes in one message is limited.
constexpr std::size_t kInsertBytes = std::size_t{1} << 20U;
/// Before a server that is away is asked again.
constexpr Duration kAway = std::chrono::seconds(5);

std::string literal(const std::optional<std::string>& value) {
  return value ? pg::quote_literal(*value) : "NULL";
}

/// For the next statement: what is left until `end`.
void bound(pg::Session& session, const Deadline& end) {
  session.set_timeout(std::max<Duration>(end.at() - steady_now(), std::chrono::milliseconds(1)));
}

void insert_rows(pg::Session& session, const std::string& table, const PayloadRows& payload,
                 const Deadline& end) {
  if (payload.columns().empty()) return;
  std::string head = "INSERT INTO " + table + " (";
  for (const std::string& column : payload.columns())
    head += (head.back() == '(' ? "" : ", ") + pg::quote_identifier(column);
  head += ") VALUES ";
  std::string sql;
  payload.each([&](const PayloadRows::Row& row) {
    sql += sql.empty() ? head : ", ";
    for (std::size_t i = 0; i < row.size(); ++i) sql += (i == 0 ? "(" : ", ") + literal(row[i]);
    sql += ')';
    if (sql.size() > kInsertBytes) {
      bound(session, end);
      session.execute_script(sql);
      sql.clear();
    }
  });
  if (sql.empty()) return;
  bound(session, end);
  session.execute_script(sql);
}

/// It answers, and will not have us: another database, user, password or right is needed, and waiting is of
/// no use.
bool is_refused(const pg::Error& error) {
  const std::string_view state = error.sqlstate();
  return error.kind() == pg::ErrorKind::connect &&
         (state.starts_with("28") || state == "3D000" || state == "42501");
}

void make_markers(pg::Session& session) {
  pg::make_if_missing(
      session,
      "CREATE TABLE IF NOT EXISTS weir_applied (sink text NOT NULL, tenant text NOT NULL, key text NOT NULL, "
      "run_id bigint NOT NULL, idx integer NOT NULL, PRIMARY KEY (sink, tenant, key, run_id, idx))");
}

}  // namespace

pg::Session& WireSink::connected(const Application& application) {
  if (!session_ || !session_->is_open()) {
    session_.reset();
    pg::Session session =
        options_.connector->connect(pg::Role::task, options_.label, {.stop = application.stop});
    make_markers(session);
    session_.emplace(std::move(session));
  }
  session_->set_stop(application.stop);
  session_->set_timeout(options_.timeout);
  return *session_;
}

std::string WireSink::is_batch(const Batch& batch) const {
  return fmt::format("sink = {} AND tenant = {} AND key = {} AND run_id = {} AND idx = {}",
                     pg::quote_literal(options_.label), pg::quote_literal(batch.group.tenant),
                     pg::quote_literal(batch.group.key), batch.run_id, batch.idx);
}

bool WireSink::has_applied(pg::Session& session, const Batch& batch) const {
  return session.execute("SELECT 1 FROM weir_applied WHERE " + is_batch(batch)).rows() > 0;
}

/// Not the batch's fault: no attempt is used up while the other server is away.
work::Outcome WireSink::put_off(const pg::Error& error) const {
  log::warn("the server of a sink is away", {{"sink", options_.label}, {"error", error.what()}});
  return work::Outcome::snoozed(
      kAway, fmt::format("the other server is away, which uses up no attempt: {}", error.what()));
}

work::Outcome WireSink::apply(const Batch& batch, const Application& application) {
  std::optional<PayloadRows> rows;
  try {
    rows.emplace(batch.payload);
  } catch (const Error& error) {
    return work::Outcome::discarded(error.what());
  }
  return apply(batch, *rows, application);
}

work::Outcome WireSink::apply(const Batch& batch, const PayloadRows& rows, const Application& application) {
  bool answers = false;
  try {
    pg::Session& session = connected(application);
    if (has_applied(session, batch)) return work::Outcome::done();
    answers = true;
    const Deadline end = Deadline::after(options_.timeout);
    pg::Transaction transaction(session);
    // First: who comes second with the same batch waits here, and fails.
    bound(session, end);
    session.execute_script(
        fmt::format("INSERT INTO weir_applied (sink, tenant, key, run_id, idx) VALUES ({}, {}, {}, {}, {})",
                    pg::quote_literal(options_.label), pg::quote_literal(batch.group.tenant),
                    pg::quote_literal(batch.group.key), batch.run_id, batch.idx));
    insert_rows(session, options_.table, rows, end);
    application.verify();
    session.set_timeout(options_.timeout);
    transaction.commit();
  } catch (const pg::ConnectionLost& error) {
    // A moment ago it was there: it is the batch that takes long, or a lock that it waits for.
    if (answers && error.kind() == pg::ErrorKind::deadline) {
      return work::Outcome::failed(
          fmt::format("the other server had not taken it after {}", human_duration(options_.timeout)));
    }
    if (is_refused(error)) return work::Outcome::failed(fmt::format("{} {}", error.what(), error.remedy()));
    return put_off(error);
  } catch (const pg::InDoubt& error) {
    return put_off(error);  // the marker will tell
  } catch (const pg::Error& error) {
    if (!is_fault_of_rows(error.sqlstate())) throw;
    return work::Outcome::discarded(error.what());
  }
  return work::Outcome::done();
}

void check_wire_target(const WireSink::Options& options, const std::stop_token& stop) {
  try {
    pg::Session session = options.connector->connect(pg::Role::task, options.label, {.stop = stop});
    session.execute("SELECT * FROM " + options.table + " WHERE false");
  } catch (const pg::ConnectionLost& error) {
    if (is_refused(error))
      throw Error(ExitCode::database, fmt::format("--to: {}", error.what()), error.remedy());
    log::warn("the server of a sink is away", {{"sink", options.label}, {"error", error.what()}});
  } catch (const pg::Error& error) {
    throw Error(ExitCode::refused,
                fmt::format("the table {} of --to cannot be used: {}", printable(options.table),
                            error.info().message),
                "It is written as that server's SQL has it, and has to be there.");
  }
}

}  // namespace weir::group
