#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "pg/session.h"

namespace weir::schema {

/// A file of src/schema/migrations.
struct Migration {
  int number;
  std::string_view name;
  std::string_view checksum;
  const char* sql;
};

/// Those that this binary has, from 1 without gaps.
std::span<const Migration> known_migrations() noexcept;

/// What the database says about one that ran.
struct AppliedMigration {
  int number = 0;
  std::string name{};
  std::string checksum{};
  WallTime applied_at{};
  std::string applied_by{};
};

enum class MigrationState {
  applied,
  pending,
  changed,  ///< applied, but from another text than this binary has
  skipped,  ///< not applied, although a later one is
  newer,    ///< applied by a newer binary; this one does not know it
};
std::string_view to_string(MigrationState state) noexcept;

struct MigrationPlan {
  struct Step {
    int number = 0;
    std::string name{};
    MigrationState state = MigrationState::pending;
    std::optional<WallTime> applied_at{};
    std::string applied_by{};
  };
  std::vector<Step> steps;  ///< by number
  int known = 0;            ///< the highest number that the binary has
  int applied = 0;          ///< the highest number that the database has; 0 for one that was never migrated

  [[nodiscard]] std::size_t count(MigrationState state) const noexcept;
  [[nodiscard]] bool up_to_date() const noexcept;
  /// Why this binary must not touch this schema, with the remedy (ExitCode::refused); nothing when it may.
  [[nodiscard]] std::optional<Error> refusal() const;
};

/// The whole judgement, without I/O. Both lists are in order of their numbers.
MigrationPlan decide(std::span<const AppliedMigration> applied, std::span<const Migration> known);

/// Empty for a database that was never migrated. Throws weir::Error when this user may not read the record.
std::vector<AppliedMigration> read_applied(pg::Session& session);

/// Reads only, also for a user who could do nothing else.
MigrationPlan plan(pg::Session& session, std::span<const Migration> known = known_migrations());

}  // namespace weir::schema
