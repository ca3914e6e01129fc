#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "pg/session.h"

namespace weir::schema {

/// What the user of a session may do about schema weir. Names are quoted where SQL wants quotes.
struct MigrationRights {
  std::string user{};
  std::string database{};
  bool may_create_schema = false;
  std::optional<std::string> schema_owner{};  ///< nothing while the schema is missing
  bool is_schema_owner = false;
  bool schema_is_empty = true;

  /// Nothing for a user who may migrate, else the error that names the exact GRANT.
  [[nodiscard]] std::optional<Error> missing() const;
};

MigrationRights migration_rights(pg::Session& session);

}  // namespace weir::schema
