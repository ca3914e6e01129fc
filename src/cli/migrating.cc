#include "cli/migrating.h"

#include <fmt/format.h>

#include "base/text.h"

namespace weir::cli {
namespace {

/// For other migrators, for locks, and for the scripts themselves.
constexpr Duration kMigrationSpan = std::chrono::minutes(10);

void show(LinePrinter& progress, const schema::MigrationEvent& event) {
  using Kind = schema::MigrationEvent::Kind;
  if (event.kind == Kind::applied) return;
  const std::string what = event.number == 0 ? "roles and grants" : migration_label(event.number, event.name);
  const std::string why = event.kind == Kind::waiting ? "another migration is running"
                                                      : fmt::format("{} was held up by others", what);
  progress.step(fmt::format("{}; trying again in {}", why, human_duration(event.span)));
}

}  // namespace

std::string migration_label(int number, std::string_view name) {
  return fmt::format("{:03}_{}", number, name);
}

schema::MigrationReport migrate_database(Context& context, const pg::Connector& connector) {
  context.progress.step("bringing the database schema up to date");
  pg::Session session = connector.connect(pg::Role::api, "migrate", {.stop = context.stop});
  schema::MigrateOptions options;
  options.limit = pg::Limit::within(kMigrationSpan, context.stop);
  options.on_event = [&](const schema::MigrationEvent& event) { show(context.progress, event); };
  schema::MigrationReport report = schema::migrate(session, options);
  context.progress.clear();
  for (const std::string& notice : report.notices) context.progress.note(notice);
  return report;
}

}  // namespace weir::cli
