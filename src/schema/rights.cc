#include "schema/rights.h"

#include <fmt/format.h>

#include "schema/queries/migrations.h"

namespace weir::schema {

std::optional<Error> MigrationRights::missing() const {
  if (!schema_owner && !may_create_schema) {
    return Error(
        ExitCode::database, fmt::format("user {} may not create schema weir in database {}", user, database),
        fmt::format(
            "As the database's owner or an administrator: GRANT CREATE ON DATABASE {0} TO {1}; or, to give "
            "no more than this schema: CREATE SCHEMA weir AUTHORIZATION {1};",
            database, user));
  }
  if (schema_owner && !is_schema_owner) {
    return Error(
        ExitCode::database,
        fmt::format("schema weir in database {} belongs to {}, so user {} may not migrate it", database,
                    *schema_owner, user),
        fmt::format("Migrate as {0}, or as an administrator: GRANT {0} TO {1};", *schema_owner, user));
  }
  return std::nullopt;
}

MigrationRights migration_rights(pg::Session& session) {
  const auto answer = session.run<sql::MigrationRights>();
  const sql::MigrationRights::Row row = answer.one();
  MigrationRights rights;
  rights.user = row.user_name;
  rights.database = row.database_name;
  rights.may_create_schema = row.may_create_schema;
  if (row.schema_owner) rights.schema_owner = std::string(*row.schema_owner);
  rights.is_schema_owner = row.is_schema_owner;
  rights.schema_is_empty = row.schema_is_empty;
  return rights;
}

}  // namespace weir::schema
