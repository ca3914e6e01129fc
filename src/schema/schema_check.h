#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "schema/migration.h"

namespace weir::schema {

enum class SchemaState {
  ok,
  missing,  ///< this database was never migrated
  behind,   ///< it needs migrating
  refused,  ///< newer than this binary, or not as any binary made it
};
std::string_view to_string(SchemaState state) noexcept;

struct SchemaCheck {
  SchemaState state = SchemaState::ok;
  MigrationPlan plan{};
  /// What to tell the user, with remedy and exit code; nothing when all is well.
  [[nodiscard]] std::optional<Error> error() const;
};

/// For every command but migrate: whether this binary and this schema belong together. Reads only.
SchemaCheck check_schema(pg::Session& session, std::span<const Migration> known = known_migrations());

/// The same for those who cannot go on without: throws the error.
void require_schema(pg::Session& session, std::span<const Migration> known = known_migrations());

}  // namespace weir::schema
