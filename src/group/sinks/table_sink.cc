#include "group/sinks/table_sink.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "group/sinks/sql_sink.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "schema/queries/groups.h"
#include "work/user_script.h"

namespace weir::group {
namespace {

/// The payload is read where it is.
constexpr std::string_view kBatch = "weir.batch b CROSS JOIN LATERAL ";
constexpr const char* kNoRows =
    "the payload has no rows: an array of objects, {\"rows\": [..]}, or one object is what a table can take";
constexpr std::string_view kIsBatch = "WHERE b.run_at = $1 AND b.run_id = $2 AND b.idx = $3";

/// One of a key's rows in a batch is the last one, and stands. Keys that are null are nobody's equals.
std::string last_of_each_key(const TableSink::Options& options, const std::vector<std::string>& columns) {
  std::string keys;
  std::string null;
  for (const std::string& column : options.key) {
    keys += "r." + column + ", ";
    null += fmt::format("{}r.{} IS NULL", null.empty() ? "" : " OR ", column);
  }
  keys += fmt::format("CASE WHEN {} THEN e.place END", null);
  return fmt::format(
      "SELECT DISTINCT ON ({0}) r.{1} FROM {2} pg_catalog.jsonb_array_elements(weir.batch_rows(b.payload)) "
      "WITH ORDINALITY e(row, place) CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::{3}, e.row) r "
      "{4} ORDER BY {0}, e.place DESC",
      keys, fmt::join(columns, ", r."), kBatch, options.table, kIsBatch);
}

std::string insert(const TableSink::Options& options, const std::vector<std::string>& columns) {
  const std::string head = fmt::format("INSERT INTO {} ({}) ", options.table, fmt::join(columns, ", "));
  if (options.key.empty()) {
    return head + fmt::format(
                      "SELECT r.{} FROM {} pg_catalog.jsonb_populate_recordset(NULL::{}, "
                      "weir.batch_rows(b.payload)) r {}",
                      fmt::join(columns, ", r."), kBatch, options.table, kIsBatch);
  }
  std::string changes;
  for (const std::string& column : columns) {
    if (std::find(options.key.begin(), options.key.end(), column) != options.key.end()) continue;
    changes += fmt::format("{}{} = excluded.{}", changes.empty() ? "" : ", ", column, column);
  }
  return head + last_of_each_key(options, columns) +
         fmt::format(" ON CONFLICT ({}) DO {}", fmt::join(options.key, ", "),
                     changes.empty() ? "NOTHING" : "UPDATE SET " + changes);
}

}  // namespace

TableSink::Options find_target(pg::Session& session, const std::string& name, std::vector<std::string> key) {
  const auto rows = [&] {
    try {
      return session.run<sql::BatchTarget>(name, std::vector<std::string_view>(key.begin(), key.end()));
    } catch (const pg::Error& error) {
      if (error.sqlstate() != "42602") throw;
      throw Error(ExitCode::usage, fmt::format("'{}' is no name of a table", printable(name)),
                  "Write it as in SQL: orders, app.orders or \"Odd name\".");
    }
  }();
  const auto row = rows.one();
  if (!row.table_name) {
    throw Error(ExitCode::refused, fmt::format("there is no table {}", printable(name)),
                "The table that batches go into has to be there.");
  }
  if (row.missing) {
    throw Error(ExitCode::refused,
                fmt::format("the table {} has no column {}", *row.table_name, printable(*row.missing)),
                "--key names columns of it.");
  }
  if (!key.empty() && !row.is_unique) {
    throw Error(
        ExitCode::refused,
        fmt::format("no unique index of the table {} is on ({})", *row.table_name, fmt::join(key, ", ")),
        "By it rows that are there already are found: CREATE UNIQUE INDEX CONCURRENTLY, and start again.");
  }
  for (std::string& column : key) column = pg::quote_identifier(column);
  return {.table = std::string(*row.table_name), .key = std::move(key)};
}

void TableSink::write(pg::Session& session, const Batch& batch,
                      const std::vector<std::string>& columns) const {
  if (options_.timeout) session.execute(work::set_statement_timeout(options_.timeout));
  session.execute(insert(options_, columns), batch.run_at, batch.run_id, batch.idx);
  if (options_.timeout) session.execute(work::set_statement_timeout(std::nullopt));
}

work::Outcome TableSink::apply(const Batch& batch, const Application& application) {
  pg::Session& session = *application.session;
  std::vector<std::string> columns;
  try {
    for (const auto& row :
         session.run<sql::BatchColumns>(batch.run_id, batch.run_at, batch.idx, options_.table)) {
      if (!row.known) {
        return work::Outcome::discarded(
            fmt::format("the table {} has no column {}", options_.table, printable(row.name)));
      }
      columns.push_back(pg::quote_identifier(row.name));
    }
    if (columns.empty()) return work::Outcome::done();
  } catch (const pg::Error& error) {
    // Asked for the keys of what is no object.
    if (!session.is_open() || error.sqlstate() != "22023") throw;
    return work::Outcome::discarded(kNoRows);
  }
  try {
    write(session, batch, columns);
  } catch (const pg::Error& error) {
    if (!session.is_open() || !is_fault_of_rows(error.sqlstate())) throw;
    return work::Outcome::discarded(error.what());
  }
  return work::Outcome::done();
}

}  // namespace weir::group
