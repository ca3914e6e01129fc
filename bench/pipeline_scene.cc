#include "pipeline_scene.h"

#include <algorithm>

#include "pipeline/define/definition_json.h"
#include "pipeline/run/store.h"
#include "pipeline/run_plan.h"
#include "schema/migrator.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"

namespace weir::bench {

using namespace pipeline;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

PipelineScene::PipelineScene(Scene& plain) : plain_(plain), session_(plain.session()) {
  schema::migrate(session_);
}

std::int32_t PipelineScene::store(const std::string& name, const decltype(TaskDefinition::body)& body,
                                  int count, bool chained, int max_active_runs) {
  PipelineDefinition definition{.name = name, .max_active_runs = max_active_runs};
  for (int i = 0; i < count; ++i) {
    TaskDefinition task{.name = "t" + std::to_string(i), .body = body};
    if (chained && i > 0) task.upstream = {i - 1};
    if (chained && i + 1 < count) task.downstream = {i + 1};
    definition.tasks.push_back(std::move(task));
  }
  return store(definition);
}

std::int32_t PipelineScene::store(const PipelineDefinition& definition) {
  const auto made = session_.run<sql::MakePipeline>(definition.name, "bench");
  const auto row = made.one();
  store_definition(session_, row.id, row.version,
                   {.json = to_json(definition),
                    .hash = definition_hash(definition),
                    .plan = plan_run(definition),
                    .max_active_runs = definition.max_active_runs});
  return row.id;
}

std::unique_ptr<Worker> PipelineScene::worker(std::size_t slots) {
  pg::Connector::Options options;
  options.users_search_path = true;
  Surroundings at{.connector = std::make_shared<const pg::Connector>(plain_.connector().conninfo(), options),
                  .project = plain_.folder()};
  auto worker = std::make_unique<Worker>(std::move(at), WorkerOptions{.slots = slots});
  worker->asleep().enable();
  worker->start();
  return worker;
}

double PipelineScene::run(std::int32_t pipeline) {
  const auto made = session_.execute(
      "SELECT weir.create_run($1, 'manual', clock_timestamp(), clock_timestamp(), clock_timestamp(), '{}')",
      pipeline);
  const auto id = made[0].get<std::int64_t>(0);
  session_.run<sql::StartRuns>(pipeline);
  for (;;) {
    const auto done = session_.execute(
        "SELECT extract(epoch FROM ended_at - started_at)::float8, state FROM weir.run_done WHERE id = $1",
        id);
    if (done.rows() > 0) {
      if (done[0].get<std::string>(1) != "success")
        throw Error(ExitCode::failed, "a run of the benchmark failed");
      return done[0].get<double>(0);
    }
    session_.execute("SELECT pg_sleep(0.002)");
  }
}

}  // namespace weir::bench
