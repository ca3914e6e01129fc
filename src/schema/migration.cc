#include "schema/migration.h"

#include <algorithm>

#include <fmt/format.h>

#include "schema/queries/migrations.h"

namespace weir::schema {
namespace {

const MigrationPlan::Step* find(const MigrationPlan& plan, MigrationState state) noexcept {
  const auto found = std::find_if(plan.steps.begin(), plan.steps.end(),
                                  [state](const MigrationPlan::Step& step) { return step.state == state; });
  return found == plan.steps.end() ? nullptr : &*found;
}

std::string label(const MigrationPlan::Step& step) { return fmt::format("{:03}_{}", step.number, step.name); }

}  // namespace

std::string_view to_string(MigrationState state) noexcept {
  switch (state) {
    case MigrationState::applied: return "applied";
    case MigrationState::pending: return "pending";
    case MigrationState::changed: return "changed";
    case MigrationState::skipped: return "skipped";
    case MigrationState::newer: return "newer";
  }
  return "unknown";
}

std::size_t MigrationPlan::count(MigrationState state) const noexcept {
  return static_cast<std::size_t>(
      std::count_if(steps.begin(), steps.end(), [state](const Step& step) { return step.state == state; }));
}

bool MigrationPlan::up_to_date() const noexcept { return count(MigrationState::applied) == steps.size(); }

std::optional<Error> MigrationPlan::refusal() const {
  if (find(*this, MigrationState::newer) != nullptr) {
    return Error(ExitCode::refused,
                 fmt::format("the schema is newer than this binary ({} > {})", applied, known),
                 "Install the newer weir that migrated this database, or use another database.");
  }
  if (const Step* step = find(*this, MigrationState::changed)) {
    return Error(
        ExitCode::refused,
        fmt::format("migration {} was applied to this database by {} from another text than this binary has",
                    label(*step), step->applied_by),
        "Use the weir that migrated this database. If this was a build under development, start over with "
        "an empty database: applied migrations are never edited.");
  }
  if (const Step* step = find(*this, MigrationState::skipped)) {
    return Error(
        ExitCode::refused,
        fmt::format("migration {} is not recorded as applied, although {:03} is", label(*step), applied),
        "Rows are missing from weir.schema_migration: restore them from a backup.");
  }
  return std::nullopt;
}

MigrationPlan decide(std::span<const AppliedMigration> applied, std::span<const Migration> known) {
  MigrationPlan plan;
  if (!known.empty()) plan.known = known.back().number;
  if (!applied.empty()) plan.applied = applied.back().number;

  auto row = applied.begin();
  const auto add_applied = [&](MigrationState state) {
    plan.steps.push_back({row->number, row->name, state, row->applied_at, row->applied_by});
    ++row;
  };
  for (const Migration& migration : known) {
    if (row != applied.end() && row->number == migration.number) {
      add_applied(row->checksum == migration.checksum ? MigrationState::applied : MigrationState::changed);
    } else {
      const bool later_ran = row != applied.end();
      plan.steps.push_back({.number = migration.number,
                            .name = std::string(migration.name),
                            .state = later_ran ? MigrationState::skipped : MigrationState::pending});
    }
  }
  while (row != applied.end()) add_applied(MigrationState::newer);
  return plan;
}

std::vector<AppliedMigration> read_applied(pg::Session& session) {
  const auto answer = session.run<sql::MigrationRecord>();
  const sql::MigrationRecord::Row record = answer.one();
  if (!record.present) return {};
  if (!record.readable) {
    const auto rights_answer = session.run<sql::MigrationRights>();
    const std::string user(rights_answer.one().user_name);
    throw Error(ExitCode::database, "user " + user + " may not read Weir's tables in this database",
                "As an administrator: GRANT weir_viewer TO " + user + "; (or weir_worker for a worker)");
  }
  std::vector<AppliedMigration> applied;
  const auto rows = session.run<sql::AppliedMigrations>();
  for (const auto row : rows) {
    applied.push_back({row.number, std::string(row.name), std::string(row.checksum), row.applied_at,
                       std::string(row.applied_by)});
  }
  return applied;
}

MigrationPlan plan(pg::Session& session, std::span<const Migration> known) {
  return decide(read_applied(session), known);
}

}  // namespace weir::schema
