#include "stream/adopt_catalog.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/error.h"
#include "schema/queries/adopt.h"
#include "schema/queries/streams_adopt.h"

namespace weir::stream {
namespace {

[[noreturn]] void no_such_table(pg::Session& session, const std::string& table) {
  const auto names = session.run<sql::AdoptTableNames>();
  std::vector<std::string_view> known;
  for (const auto row : names) known.push_back(row.name);
  const auto near = closest(table, known);
  throw Error(ExitCode::definition, fmt::format("there is no table {}", printable(table)),
              (near ? fmt::format("Did you mean {}? ", printable(*near)) : std::string()) +
                  "A table outside of the search_path is written schema.table, one with capitals \"Table\". "
                  "weir stream create makes a new one.");
}

pg::Rows<sql::AdoptStreamTable> look_up(pg::Session& session, const std::string& table) {
  try {
    return session.run<sql::AdoptStreamTable>(table);
  } catch (const pg::Error& error) {
    // 42602: not written like a name; 0A000: of another database.
    if (error.sqlstate() != "42602" && error.sqlstate() != "0A000") throw;
    throw Error(ExitCode::usage, fmt::format("'{}' is no name of a table", printable(table)),
                "Write it as in SQL: events, app.events or '\"Odd name\"'.");
  }
}

std::string text(const std::optional<std::string_view>& column) { return std::string(column.value_or("")); }

char letter(const std::optional<std::string_view>& column) {
  return column && !column->empty() ? column->front() : '\0';
}

void read_columns(pg::Session& session, AdoptFacts& table) {
  for (const auto& row : session.run<sql::AdoptStreamColumns>(table.id)) {
    table.columns.push_back({.name = std::string(row.name),
                             .type = std::string(row.type),
                             .not_null = row.not_null,
                             .counted = row.counted,
                             .is_unique = row.is_unique,
                             .in_key = row.in_key,
                             .in_partition_key = row.in_partition_key,
                             .default_text = text(row.default_text)});
  }
}

}  // namespace

AdoptFacts read_adopt_facts(pg::Session& session, const std::string& table) {
  const auto answer = look_up(session, table);
  const auto row = answer.one();
  if (!row.id) no_such_table(session, table);
  AdoptFacts facts{.id = *row.id,
                   .schema = text(row.schema_name),
                   .name = text(row.table_name),
                   .kind = letter(row.kind),
                   .persistence = letter(row.persistence),
                   .row_security = row.row_security.value_or(false),
                   .inherits = row.inherits.value_or(false),
                   .is_inherited = row.is_inherited.value_or(false),
                   .is_partition = row.is_partition.value_or(false),
                   .owner = text(row.owner),
                   .owned = row.owns.value_or(false),
                   .may_make = row.may_make,
                   .user = std::string(row.me),
                   .stream = text(row.stream),
                   .name_taken = row.taken && !row.stream,
                   .rows = row.rows.value_or(0),
                   .updated = row.updated.value_or(0),
                   .update_signs = {},
                   .xid_checked = row.xid_checked,
                   .update_refused = row.update_refused,
                   .columns = {},
                   .relations = {}};
  for (const auto& sign : session.run<sql::AdoptStreamUpdateSigns>(facts.id)) {
    facts.update_signs.push_back(
        fmt::format("{} {}", sign.kind == "function" ? "the function of trigger" : sign.kind, sign.name));
  }
  read_columns(session, facts);
  read_adopt_indexes(session, facts, "");
  return facts;
}

void read_adopt_indexes(pg::Session& session, AdoptFacts& table, const std::string& id_column) {
  table.relations.clear();
  for (const auto& row : session.run<sql::AdoptStreamRelations>(table.id, kAdoptedXid, id_column)) {
    AdoptRelation relation{.schema = std::string(row.schema_name),
                           .name = std::string(row.name),
                           .kind = letter(row.kind),
                           .owned = row.owns,
                           .may_index = row.may_index,
                           .parent_schema = text(row.parent_schema),
                           .parent = text(row.parent_name),
                           .index = {}};
    if (row.index_name) {
      relation.index = {.schema = text(row.index_schema),
                        .name = text(row.index_name),
                        .valid = row.index_valid,
                        .attached = row.index_attached};
    }
    table.relations.push_back(std::move(relation));
  }
}

}  // namespace weir::stream
