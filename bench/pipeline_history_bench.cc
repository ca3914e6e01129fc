#include "pipeline_scene.h"
#include "schema/queries/pipelines.h"

namespace weir::bench {
namespace {

using namespace std::chrono_literals;
using namespace pipeline;

/// A million tasks of ended runs over 30 days.
void make_history(pg::Session& session, std::int32_t pipeline) {
  session.execute_script(
      "DO $$ BEGIN FOR d IN 1 .. 30 LOOP "
      "  EXECUTE format('CREATE TABLE IF NOT EXISTS weir.run_done_old%s PARTITION OF weir.run_done FOR "
      "VALUES FROM (%L) TO (%L)', d, "
      "    date_trunc('day', now(), 'UTC') - (d + 1) * interval '1 day', date_trunc('day', now(), 'UTC') - d "
      "* interval '1 day'); "
      "  EXECUTE format('CREATE TABLE IF NOT EXISTS weir.task_done_old%s PARTITION OF weir.task_done FOR "
      "VALUES FROM (%L) TO (%L)', d, "
      "    date_trunc('day', now(), 'UTC') - (d + 1) * interval '1 day', date_trunc('day', now(), 'UTC') - d "
      "* interval '1 day'); "
      "END LOOP; END $$");
  session.set_timeout(10min);
  session.execute(
      "INSERT INTO weir.run_done (id, ended_at, logical_at, interval_start, interval_end, created_at, "
      "started_at, pipeline_id, "
      "  version, priority, tasks, state, kind, made_by, params) "
      "SELECT 1000000 + n, t, t, t, t, t, t, $1, 1, 0, 30, 'success', 'scheduled', 'bench', '{}' "
      "  FROM (SELECT n, date_trunc('day', now(), 'UTC') - interval '1 day' - (n % 28) * interval '1 day' + "
      "(n % 80000) * interval '1 s' AS t "
      "          FROM generate_series(1, 33334) n) r",
      pipeline);
  session.execute(
      "INSERT INTO weir.task_done (run_id, run_ended_at, task_no, item, attempt, failures, started_at, "
      "ended_at, state) "
      "SELECT d.id, d.ended_at, k, -1, 1, 0, d.ended_at, d.ended_at, 'success' FROM weir.run_done d, "
      "generate_series(0, 29) k "
      "WHERE d.id > 1000000");
  session.execute("ANALYZE weir.run_done");
  session.execute("ANALYZE weir.task_done");
}

double ready_to_running_p99(PipelineScene& scene, std::int32_t pipeline) {
  const auto worker = scene.worker(8);
  for (int i = 0; i < 10; ++i) scene.run(pipeline);
  worker->stop();
  return scene.session()
      .execute(
          "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM a.started_at - "
          "a.ready_at))::float8 * 1000 "
          "FROM weir.task_attempt a JOIN (SELECT id FROM weir.run_done WHERE pipeline_id = $1 AND id < "
          "1000000 ORDER BY id DESC "
          "LIMIT 10) r ON r.id = a.run_id",
          pipeline)[0]
      .get<double>(0);
}

}  // namespace

std::vector<Measurement> bench_history(PipelineScene& scene) {
  const std::int32_t pipeline = scene.store("thirty", SqlBody{.text = "SELECT 1"}, 30, true);
  const double fresh = ready_to_running_p99(scene, pipeline);
  make_history(scene.session(), pipeline);
  const double old = ready_to_running_p99(scene, pipeline);
  std::vector<double> listed;
  for (int i = 0; i < kPipelineRounds; ++i) {
    listed.push_back(1000 * seconds_of([&] {
                       scene.session().run<sql::ListRuns>(std::nullopt, std::vector<std::string_view>{}, 20);
                     }));
  }
  return {{.name = "ready to running, p99, with a million ended tasks of 30 days",
           .value = old,
           .unit = "ms",
           .ratio = old / fresh,
           .target = 1.2,
           .higher_is_better = false,
           .against = "an empty history"},
          {.name = "the query of `weir runs` over a million task rows",
           .value = median(listed),
           .unit = "ms",
           .target = 200,
           .higher_is_better = false}};
}

}  // namespace weir::bench
