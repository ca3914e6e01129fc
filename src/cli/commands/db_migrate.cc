#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/migrating.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using schema::MigrationState;

std::string time_text(const std::optional<WallTime>& time) {
  return time ? fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", std::chrono::floor<std::chrono::seconds>(*time)) : "";
}

ordered_json plan_json(const schema::MigrationPlan& plan) {
  ordered_json steps = ordered_json::array();
  for (const auto& step : plan.steps) {
    steps.push_back(
        {{"number", step.number},
         {"name", step.name},
         {"state", to_string(step.state)},
         {"applied_at", step.applied_at ? ordered_json(time_text(step.applied_at)) : ordered_json()},
         {"applied_by", step.applied_by.empty() ? ordered_json() : ordered_json(step.applied_by)}});
  }
  return {{"applied", plan.applied}, {"known", plan.known}, {"steps", steps}};
}

std::string plan_text(const schema::MigrationPlan& plan, const Paint& paint) {
  Table table({{"number", Table::Align::right}, {"name"}, {"state"}, {"applied"}, {"by"}});
  for (const auto& step : plan.steps) {
    const Color color = step.state == MigrationState::applied   ? Color::green
                        : step.state == MigrationState::pending ? Color::yellow
                                                                : Color::red;
    table.add({std::to_string(step.number), step.name, Table::Cell(std::string(to_string(step.state)), color),
               time_text(step.applied_at), step.applied_by});
  }
  return table.render(paint);
}

ExitCode show_plan(Context& context, const pg::Connector& connector) {
  pg::Session session = connector.connect(pg::Role::api, "migrate-plan", {.stop = context.stop});
  session.set_stop(context.stop);
  const schema::MigrationPlan plan = schema::plan(session);
  const std::optional<Error> refusal = plan.refusal();
  if (context.global.json) {
    if (refusal) throw Error(*refusal);
    context.out.json(plan_json(plan));
    return ExitCode::ok;
  }
  context.out.write(plan_text(plan, context.out.paint()));
  if (refusal) throw Error(*refusal);
  const std::size_t pending = plan.count(MigrationState::pending);
  context.out.line(pending == 0
                       ? "nothing to do"
                       : fmt::format("{} to apply with weir db migrate; nothing was changed", pending));
  return ExitCode::ok;
}

ordered_json report_json(const schema::MigrationReport& report) {
  ordered_json applied = ordered_json::array();
  for (const auto& step : report.applied) {
    const std::chrono::duration<double, std::milli> took(step.took);
    applied.push_back({{"number", step.number}, {"name", step.name}, {"ms", took.count()}});
  }
  return {{"applied", applied}, {"version", report.version}, {"notices", report.notices}};
}

ExitCode run_db_migrate(Context& context) {
  const bool plan_only = context.arguments.has("plan");
  const pg::Conninfo conninfo = running_database(context.global, choose_database(context.global));
  const pg::Connector connector = connector_for(conninfo, !plan_only);
  if (plan_only) return show_plan(context, connector);

  const schema::MigrationReport report = migrate_database(context, connector);
  if (context.global.json) {
    context.out.json(report_json(report));
    return ExitCode::ok;
  }
  for (const auto& step : report.applied) {
    context.out.line(
        fmt::format("applied {} ({})", migration_label(step.number, step.name), human_duration(step.took)));
  }
  context.out.line(
      fmt::format("the schema is {}at {}", report.applied.empty() ? "already " : "now ", report.version));
  return ExitCode::ok;
}

}  // namespace

Command db_migrate_command() {
  return {
      .path = "db migrate",
      .summary = "bring the database's schema up to this program",
      .description =
          "Each migration is a transaction of its own with a short lock_timeout: it steps back and tries\n"
          "again rather than hold others up. Several at a time wait for one another. Running it again goes\n"
          "on where it ended. A schema that is newer than this program is refused (exit code 5).",
      .options = {{"plan", 0, "", "only show what would be done; writes nothing"}},
      .examples = {{"weir db migrate --plan", "what is applied and what is pending"},
                   {"DATABASE_URL=postgresql://.. weir db migrate", "on a server of your own"}},
      .run = run_db_migrate};
}

}  // namespace weir::cli
