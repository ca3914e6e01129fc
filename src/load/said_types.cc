#include "load/said_types.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "schema/queries/load_types.h"

namespace weir::load {
namespace {

ColumnType resolve(pg::Session& session, const SaidColumn& column) {
  pg::Transaction transaction(session);  // undone: the table is gone again
  try {
    session.execute("CREATE TEMPORARY TABLE weir_said (said " + column.type + ")");
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
    throw Error(ExitCode::definition,
                fmt::format("column {}: the server knows no type '{}': {}", printable(column.name),
                            printable(column.type), error.info().message),
                "Write a type as in CREATE TABLE: bigint, numeric(12,2), timestamptz.");
  }
  const auto types = session.run<sql::LoadSaidTypes>();
  if (types.size() != 1) {
    throw Error(ExitCode::definition,
                fmt::format("column {}: '{}' is no type", printable(column.name), printable(column.type)),
                "Write a type as in CREATE TABLE: bigint, numeric(12,2), timestamptz.");
  }
  return type_of(static_cast<pg::Oid>(types[0].type_id), types[0].modifier, std::string(types[0].type));
}

}  // namespace

std::vector<ColumnType> resolve_types(pg::Session& session, const std::vector<SaidColumn>& columns) {
  std::vector<ColumnType> types;
  types.reserve(columns.size());
  for (const SaidColumn& column : columns) types.push_back(resolve(session, column));
  return types;
}

}  // namespace weir::load
