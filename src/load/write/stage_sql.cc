#include "load/write/stage_sql.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/identifier.h"

namespace weir::load {

void StageTable::avoid(const std::vector<std::string>& taken) {
  for (std::string* const name : {&line, &part}) {
    while (std::find(taken.begin(), taken.end(), *name) != taken.end()) *name += '_';
  }
}

std::string stage_name(pg::Oid target, std::int64_t number) {
  return fmt::format("load_{}_{}", target, number);
}

std::int64_t stage_number(std::string_view name) noexcept {
  const std::size_t at = name.rfind('_');
  std::int64_t number = 0;
  if (at != std::string_view::npos) std::from_chars(name.data() + at + 1, name.data() + name.size(), number);
  return number;
}

std::string stage_table(std::string_view name) { return "weir_stage." + pg::quote_identifier(name); }

std::vector<ColumnType> stage_types(const Target& target, const std::vector<std::string>& columns) {
  std::vector<ColumnType> types;
  for (const std::string& name : columns) {
    const TargetColumn* const column = target.column(name);
    if (column == nullptr) {
      throw Error(ExitCode::definition, fmt::format("{} has no column {}", target.label(), printable(name)),
                  "Add it (--schema evolve), leave it out, or give --columns.");
    }
    types.push_back(column->type.base == Base::other ? type_of(Base::text) : column->type);
  }
  return types;
}

std::string stage_signature(const StageTable& stage, const std::vector<std::string>& columns,
                            const std::vector<ColumnType>& types) {
  std::string signature;
  for (std::size_t i = 0; i < columns.size(); ++i)
    signature += fmt::format("{} {}, ", pg::quote_identifier(columns[i]), types[i].sql);
  return signature + fmt::format("{} bigint, {} bigint", pg::quote_identifier(stage.line),
                                 pg::quote_identifier(stage.part));
}

std::string change_stage_sql(std::string_view table, const std::vector<std::string>& columns,
                             const std::vector<ColumnType>& types, const Drift& drift) {
  std::string changes;
  for (const NewColumn& column : drift.added) {
    changes += fmt::format("{}ADD COLUMN {} {}", changes.empty() ? "" : ", ",
                           pg::quote_identifier(column.name), column.type.sql);
  }
  for (const NewColumn& column : drift.widened) {
    const auto at = std::find(columns.begin(), columns.end(), column.name) - columns.begin();
    changes += (changes.empty() ? "" : ", ") +
               change_type_sql(column.name, types.at(static_cast<std::size_t>(at)), column.type);
  }
  return fmt::format("ALTER TABLE {} {}", table, changes);
}

std::string create_stage_sql(std::string_view name, const std::string& signature) {
  return fmt::format("CREATE UNLOGGED TABLE {} ({}) WITH (autovacuum_enabled = off)", stage_table(name),
                     signature);
}

std::string copy_stage_sql(const StageTable& stage, const std::vector<std::string>& columns) {
  std::string list;
  for (const std::string& column : columns) list += pg::quote_identifier(column) + ", ";
  return fmt::format("COPY {} ({}{}, {}) FROM STDIN (FORMAT binary)", stage.sql, list,
                     pg::quote_identifier(stage.line), pg::quote_identifier(stage.part));
}

}  // namespace weir::load
