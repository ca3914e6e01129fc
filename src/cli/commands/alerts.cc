#include "schema/queries/alerts.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/open_database.h"
#include "cli/project/project.h"
#include "cli/project/run_target.h"
#include "cli/term/table.h"
#include "pipeline/task/alert_delivery.h"
#include "pipeline/time/preview.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using pipeline::utc_text;

/// Of a definition, as far as it matters here: never with a secret.
std::string target_text(const std::optional<pg::JsonView>& definition) {
  if (!definition) return "?";
  const auto said = nlohmann::json::parse(definition->text, nullptr, false);
  if (!said.is_object()) return "?";
  pipeline::Alert alert;
  alert.to = said.value("to", std::string());
  if (said.contains("run")) alert.run = said.at("run").get<std::vector<std::string>>();
  return pipeline::alert_target(alert);
}

std::optional<std::int64_t> wanted_run(const Context& context) {
  const auto& words = context.arguments.words;
  if (words.empty()) return std::nullopt;
  const RunTarget target = parse_run_target(words.front());
  if (words.size() > 1 || !target.task.empty())
    throw Error(ExitCode::usage, "alerts are those of one run, or all", "Write: weir alerts [RUN]");
  return target.run;
}

ExitCode send_again(Context& context, pg::Session& session, std::optional<std::int64_t> run) {
  const auto rows = session.run<sql::RenewAlerts>(run);
  const std::int64_t alerts = rows.one().alerts;
  if (context.global.json) {
    context.out.json({{"again", alerts}});
  } else {
    context.out.line(alerts == 0
                         ? "none was given up"
                         : fmt::format("{} alert{} sent again", alerts, alerts == 1 ? " is" : "s are"));
    if (alerts > 0) tell_where_nobody_works(context, session);
  }
  return ExitCode::ok;
}

ExitCode run_alerts(Context& context) {
  const auto run = wanted_run(context);
  pg::Session session = open_database(context, "alerts");
  if (run) require_pipeline_run(session, *run);
  if (context.arguments.has("again")) return send_again(context, session, run);
  const int most = context.arguments.number("count", 1, 10'000).value_or(20);
  const auto rows = session.run<sql::ListAlerts>(run, most);
  if (context.global.json) {
    ordered_json all = ordered_json::array();
    for (const auto& row : rows) {
      all.push_back({{"alert", row.id},
                     {"run", row.run_id},
                     {"pipeline", row.pipeline},
                     {"event", row.event},
                     {"to", target_text(row.target)},
                     {"state", row.state},
                     {"attempts", row.attempts},
                     {"made_at", utc_text(row.made_at)},
                     {"due_at", row.ended_at ? ordered_json() : ordered_json(utc_text(row.due_at))},
                     {"ended_at", row.ended_at ? ordered_json(utc_text(*row.ended_at)) : ordered_json()},
                     {"error", row.error ? ordered_json(*row.error) : ordered_json()}});
    }
    context.out.json({{"alerts", all}});
    return ExitCode::ok;
  }
  if (rows.empty()) {
    context.progress.note(run ? fmt::format("run {} has no alerts", *run)
                              : "there were no alerts; docs/pipelines.md says how to write some");
    return ExitCode::ok;
  }
  Table table({{"ALERT", Table::Align::right},
               {"RUN", Table::Align::right},
               {"PIPELINE"},
               {"EVENT"},
               {"TO"},
               {"STATE"},
               {"TRIES", Table::Align::right},
               {"SAYS"}});
  for (const auto& row : rows) {
    const Color color = row.state == "sent"       ? Color::green
                        : row.state == "given_up" ? Color::red
                                                  : Color::yellow;
    table.add({std::to_string(row.id),
               std::to_string(row.run_id),
               std::string(row.pipeline),
               std::string(row.event),
               target_text(row.target),
               {row.state == "given_up" ? "given up" : std::string(row.state), color},
               std::to_string(row.attempts),
               elide(std::string(row.error.value_or("")), 80)});
  }
  context.out.write(table.render(context.out.paint()));
  return ExitCode::ok;
}

}  // namespace

Command alerts_command() {
  return {
      .path = "alerts",
      .summary = "list who was told of runs that failed, and whether it arrived",
      .description =
          "The newest first. An alert that nobody takes is tried 12 times within about an hour, and given "
          "up then.",
      .options = {{"again", 0, "", "send once more what was given up"},
                  {"count", 'n', "N", "so many (default: 20)"}},
      .words = "[RUN]",
      .examples = {{"weir alerts", ""}, {"weir alerts 42", "of a run"}, {"weir alerts --again", ""}},
      .run = run_alerts};
}

}  // namespace weir::cli
