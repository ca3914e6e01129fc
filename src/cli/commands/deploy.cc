#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/open_database.h"
#include "cli/project/deploying.h"
#include "cli/project/project.h"

namespace weir::cli {
namespace {

ExitCode run_plan(Context& context) {
  const auto project = load_project(context, context.global.project);
  pg::Session session = open_database(context, "plan");
  show_deployment(context, pipeline::plan_deployment(session, project), false);
  return ExitCode::ok;
}

ExitCode run_deploy(Context& context) {
  const auto project = load_project(context, context.global.project);
  pg::Session session = open_database(context, "deploy");
  const auto loss =
      context.arguments.has("yes") ? pipeline::HistoryLoss::accept : pipeline::HistoryLoss::refuse;
  show_deployment(context, pipeline::deploy(session, project, loss), true);
  return ExitCode::ok;
}

}  // namespace

Command plan_command() {
  return {.path = "plan",
          .summary = "show what a deployment would change",
          .description = "Compares the project with what is deployed, task by task. Changes nothing.",
          .examples = {{"weir plan", ""}, {"weir plan --json", "for a review"}},
          .run = run_plan};
}

Command deploy_command() {
  return {
      .path = "deploy",
      .summary = "make the project's pipelines the ones that run",
      .description =
          "Checks the project and stores its pipelines in one transaction. Runs that have begun keep the "
          "version\n"
          "they began with; pipelines that are gone from the project make no more runs. weir up deploys by "
          "itself. A shorter history that drops runs needs --yes.",
      .options = {{"yes", 'y', "", "drop the runs that a shorter history has no room for"}},
      .examples = {{"weir deploy", ""}},
      .run = run_deploy};
}

}  // namespace weir::cli
