#include "queue/adopt_catalog.h"

#include <fmt/format.h>

#include "base/text.h"
#include "pg/session.h"
#include "queue/adopt_sql.h"
#include "schema/queries/adopt.h"

namespace weir::queue {
namespace {

[[noreturn]] void no_such_table(pg::Session& session, const std::string& table) {
  std::vector<std::string> known;
  const auto names = session.run<sql::AdoptTableNames>();
  for (const auto row : names) known.emplace_back(row.name);
  throw Error(ExitCode::definition, fmt::format("there is no table {}", printable(table)),
              did_you_mean(table, known) +
                  "A table outside of the search_path is written schema.table, one with capitals \"Table\".");
}

sql::AdoptTable::Row table_row(const pg::Rows<sql::AdoptTable>& answer) { return answer.one(); }

pg::Rows<sql::AdoptTable> look_up(pg::Session& session, const std::string& table) {
  try {
    return session.run<sql::AdoptTable>(table);
  } catch (const pg::Error& error) {
    // 42602: not written like a name; 0A000: of another database.
    if (error.sqlstate() != "42602" && error.sqlstate() != "0A000") throw;
    throw Error(ExitCode::usage, fmt::format("'{}' is no name of a table", printable(table)),
                "Write it as in SQL: events, app.events or \"Odd name\".");
  }
}

}  // namespace

AdoptFacts read_adopt_facts(pg::Session& session, const std::string& table) {
  const auto answer = look_up(session, table);
  const auto row = table_row(answer);
  if (!row.id) no_such_table(session, table);
  AdoptFacts facts;
  facts.id = *row.id;
  facts.schema = row.schema_name.value_or("");
  facts.name = row.table_name.value_or("");
  facts.kind = row.kind.value_or("r").front();
  facts.row_security = row.row_security.value_or(false);
  facts.estimated_rows = row.estimated_rows.value_or(0);
  facts.may_select = row.may_select.value_or(false);
  facts.user = row.user_name;
  const auto columns = session.run<sql::AdoptColumns>(facts.id);
  for (const auto column : columns) {
    facts.columns.push_back({.name = std::string(column.name),
                             .type = std::string(column.type),
                             .base_type = std::string(column.base_type),
                             .not_null = column.not_null,
                             .generated = column.generated,
                             .key_position = column.key_position.value_or(0),
                             .partition_position = column.partition_position.value_or(0),
                             .may_update = column.may_update});
  }
  return facts;
}

void check_adopted_sql(pg::Session& session, const Adopted& adopted) {
  const AdoptSql sql(adopted);
  const auto look = [&](const std::string& statement, std::string_view what, pg::Params& params) {
    try {
      session.execute_with("EXPLAIN " + statement, params);
    } catch (const pg::Error& error) {
      if (!session.is_open() || error.kind() != pg::ErrorKind::server) throw;
      throw Error(
          ExitCode::definition, fmt::format("{} {}: {}", what, adopted.label(), error.what()),
          error.sqlstate() == "42501" ? error.remedy() : "See --where, --set, --done-value and --columns.");
    }
  };
  pg::Params claim = AdoptSql::claim_params(1, std::nullopt, {});
  look(sql.claim({}), "rows cannot be claimed from", claim);
  const std::vector<std::vector<std::string>> keys(sql.key_width());
  pg::Params done;
  for (const auto& key : keys) done.add(key);
  look(sql.mark_done(), "rows cannot be marked as done in", done);
  const auto stands_alone = [&](const std::string& expression, const std::string& option) {
    pg::Params params;
    for (const auto& key : keys) params.add(key);
    try {
      session.execute_with("EXPLAIN " + sql.alone(expression), params);
    } catch (const pg::Error& error) {
      if (!session.is_open() || error.kind() != pg::ErrorKind::server) throw;
      throw Error(ExitCode::definition,
                  fmt::format("{} '{}' is no expression by itself: {}", option, printable(expression),
                              error.info().message),
                  "Each parenthesis, quote and comment in it has to have its other half in it.");
    }
  };
  if (!adopted.where.empty()) stands_alone(adopted.where, "--where");
  for (const auto& [column, expression] : adopted.set) stands_alone(expression, "--set " + column + "=");
}

}  // namespace weir::queue
