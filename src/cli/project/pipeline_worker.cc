#include "cli/project/pipeline_worker.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/database.h"
#include "cli/project/project.h"
#include "schema/schema_check.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;

constexpr int kMostSlots = 1000;
constexpr std::size_t kSlots = 8;
constexpr Duration kTellEvery = 10s;

void tell_figures(Context& context, const pipeline::Worker::Stats& now, const pipeline::Worker::Stats& last) {
  if (now.done == last.done && now.failed == last.failed && now.retried == last.retried) return;
  if (context.global.json) {
    context.out.json_line({{"event", "progress"},
                           {"done", now.done},
                           {"failed", now.failed},
                           {"retried", now.retried},
                           {"in_flight", now.in_flight}});
    return;
  }
  context.progress.step(fmt::format("tasks done {}  failed {}  tried again {}  running {}",
                                    human_count(now.done), human_count(now.failed), human_count(now.retried),
                                    now.in_flight));
}

}  // namespace

pipeline::WorkerOptions read_worker_options(const Arguments& given) {
  return {.slots = static_cast<std::size_t>(
              given.number("slots", 1, kMostSlots).value_or(static_cast<int>(kSlots))),
          .lease = given.duration("lease", 1s, 1h).value_or(15s),
          .drain = given.duration("drain", 0s, 24h).value_or(30s),
          .once = given.has("once")};
}

pipeline::DeployReport deploy_project(Context& context, const pg::Conninfo& conninfo,
                                      const pipeline::ProjectDefinition& project) {
  pg::Session session = connector_for(conninfo).connect(pg::Role::api, "deploy", {.stop = context.stop});
  session.set_stop(context.stop);
  return pipeline::deploy(session, project, pipeline::HistoryLoss::refrain);
}

std::unique_ptr<pipeline::Worker> make_pipeline_worker(Context& context, const pg::Conninfo& conninfo,
                                                       const pipeline::ProjectDefinition& project,
                                                       const std::filesystem::path& folder) {
  return std::make_unique<pipeline::Worker>(task_surroundings(conninfo, project, folder),
                                            read_worker_options(context.arguments));
}

ExitCode work_on_pipelines(Context& context) {
  const auto project = load_project(context, context.global.project);
  const pg::Conninfo conninfo = running_database(context.global, choose_database(context.global));
  {
    pg::Session session = connector_for(conninfo).connect(pg::Role::api, "worker", {.stop = context.stop});
    session.set_stop(context.stop);
    schema::require_schema(session);
  }
  const auto worker = make_pipeline_worker(context, conninfo, project, context.global.project);
  worker->start();
  if (context.global.json) context.out.json_line({{"event", "started"}, {"project", project.name}});
  context.progress.note(fmt::format("working on pipelines of {}; Ctrl-C ends it", project.name));
  pipeline::Worker::Stats last;
  bool finished = false;
  while (!finished && !context.stop.stop_requested()) {
    finished = worker->wait_until_finished(context.stop, Deadline::after(kTellEvery));
    const auto now = worker->stats();
    tell_figures(context, now, last);
    last = now;
  }
  worker->stop();
  context.progress.clear();
  const auto end = worker->stats();
  if (context.global.json) {
    context.out.json_line(
        {{"event", "stopped"}, {"finished", finished}, {"done", end.done}, {"failed", end.failed}});
  } else {
    context.out.line(fmt::format("{} tasks done, {} failed", human_count(end.done), human_count(end.failed)));
  }
  if (!read_worker_options(context.arguments).once) return ExitCode::ok;
  if (!finished) return ExitCode::interrupted;
  return end.failed > 0 ? ExitCode::failed : ExitCode::ok;
}

}  // namespace weir::cli
