// 500 pipelines of 30 tasks that are due at the same tick, in an empty database and with 30 days behind it.

#include <filesystem>

#include <fmt/format.h>

#include "base/text.h"
#include "pipeline_scene.h"

namespace weir::bench {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using namespace pipeline;

constexpr int kPipelines = 500;
constexpr int kLayers = 3;
constexpr int kOfLayer = 10;
constexpr int kTasks = kLayers * kOfLayer;
constexpr int kRounds = 3;
constexpr int kWorkers = 2;
constexpr int kSlots = 4;
constexpr Duration kFilling = 150s;
constexpr std::uintmax_t kLeaveFree = 15'000'000'000;

/// Layers of ten; each task comes after two of the layer before.
PipelineDefinition layered() {
  PipelineDefinition definition{.name = "acceptance", .max_active_runs = 100};
  definition.schedule.every = 10s;
  for (int i = 0; i < kTasks; ++i)
    definition.tasks.push_back({.name = fmt::format("t{}", i), .body = SqlBody{.text = "SELECT 1"}});
  for (int i = kOfLayer; i < kTasks; ++i) {
    TaskDefinition& task = definition.tasks[static_cast<std::size_t>(i)];
    const int above = i / kOfLayer * kOfLayer - kOfLayer;
    task.upstream = {above + i % kOfLayer, above + (i + 1) % kOfLayer};
    if (task.upstream[0] > task.upstream[1]) std::swap(task.upstream[0], task.upstream[1]);
    for (const int before : task.upstream)
      definition.tasks[static_cast<std::size_t>(before)].downstream.push_back(i);
  }
  return definition;
}

void make_pipelines(PipelineScene& scene) {
  const std::int32_t first = scene.store(layered());
  pg::Session& session = scene.session();
  session.execute(
      "INSERT INTO weir.pipeline (max_active_runs, version, name, project) SELECT p.max_active_runs, "
      "p.version, "
      "p.name || n, p.project FROM weir.pipeline p, generate_series(2, $2::int4) n WHERE p.id = $1",
      first, kPipelines);
  session.execute(
      "INSERT INTO weir.pipeline_version (pipeline_id, version, hash, definition) SELECT p.id, p.version, "
      "v.hash, v.definition FROM weir.pipeline p, weir.pipeline_version v WHERE v.pipeline_id = $1 AND "
      "v.version = p.version AND p.name ~ '^acceptance[0-9]'",
      first);
  session.execute(
      "INSERT INTO weir.pipeline_task SELECT (jsonb_populate_record(k, jsonb_build_object('pipeline_id', "
      "p.id))).* FROM weir.pipeline p, weir.pipeline_task k WHERE k.pipeline_id = $1 AND k.version = "
      "p.version "
      "AND p.name ~ '^acceptance[0-9]'",
      first);
}

/// All of them once, at the next tick; answers the p99 from ready to running, in milliseconds.
double fire(PipelineScene& scene) {
  pg::Session& session = scene.session();
  const auto number = [&](const char* sql) { return session.execute(sql)[0].get<std::int64_t>(0); };
  // In six seconds at the soonest: by then each process has looked when it is.
  session.execute(
      "UPDATE weir.pipeline p SET next_at = t.at, fired_at = t.at - interval '1 s' FROM (SELECT "
      "to_timestamp(ceil((extract(epoch "
      "FROM clock_timestamp()) + 6) / 10) * 10) AS at) t WHERE p.name LIKE 'acceptance%'");
  const auto last = number("SELECT nextval('weir.run_id')");
  while (number("SELECT last_value FROM weir.run_id") < last + kPipelines)
    session.execute("SELECT pg_sleep(0.02)");
  session.execute("UPDATE weir.pipeline SET next_at = NULL");
  while (number("SELECT count(*) FROM weir.run") > 0) session.execute("SELECT pg_sleep(0.05)");
  const auto result = session.execute(
      "SELECT count(*), percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM a.started_at - "
      "a.ready_at))::float8 * 1000 FROM weir.task_attempt a WHERE a.run_id > $1 AND a.ended_at > now() - "
      "interval '10 min'",
      last);
  if (result[0].get<std::int64_t>(0) != kPipelines * kTasks)
    throw Error(ExitCode::failed, "a tick of the benchmark made more or fewer tasks than it should");
  return result[0].get<double>(1);
}

double ready_to_running(PipelineScene& scene) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < kWorkers; ++i) workers.push_back(scene.worker(kSlots));
  fire(scene);
  std::vector<double> each;
  for (int i = 0; i < kRounds; ++i) each.push_back(fire(scene));
  for (const auto& worker : workers) worker->stop();
  return median(each);
}

constexpr const char* kMakePastDays = R"(
DO $$
DECLARE
  parent text;
  day    date;
  part   text;
BEGIN
  FOREACH parent IN ARRAY ARRAY['run_done', 'task_done', 'task_attempt'] LOOP
    FOR day IN SELECT (now() AT TIME ZONE 'UTC')::date - n FROM generate_series(2, 30) n LOOP
      part := parent || '_' || to_char(day, 'YYYYMMDD');
      CONTINUE WHEN to_regclass('weir.' || part) IS NOT NULL;
      EXECUTE format('CREATE TABLE weir.%I PARTITION OF weir.%I FOR VALUES FROM (%L) TO (%L)', part, parent,
                     day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END LOOP;
  END LOOP;
END $$)";
// A pass of a day: runs spread over it, and their tasks.
constexpr const char* kFillDay = R"(
WITH past AS MATERIALIZED (
  SELECT $1::int8 + n AS id, 1 + n % 500 AS pipeline_id,
         date_trunc('day', now(), 'UTC') - $2::int4 * interval '1 day' + n * interval '1 day' / $3::int4 AS at
    FROM generate_series(0, $3::int4 - 1) n
), runs AS (
  INSERT INTO weir.run_done (id, ended_at, logical_at, interval_start, interval_end, created_at, started_at, pipeline_id, version,
                             priority, tasks, state, kind, made_by, params)
  SELECT id, at, at, at, at, at, at, pipeline_id, 1, 0, 30, 'success', 'scheduled', 'bench', '{}' FROM past
), tasks AS (
  INSERT INTO weir.task_done (run_id, run_ended_at, task_no, item, attempt, failures, ready_at, started_at, ended_at, state)
  SELECT id, at, k, -1, 1, 0, at, at, at, 'success' FROM past, generate_series(0, 29) k
)
INSERT INTO weir.task_attempt (ended_at, run_id, task_no, item, attempt, worker_id, ready_at, started_at, outcome)
SELECT at, id, k, -1, 1, 1, at, at, 'success' FROM past, generate_series(0, 29) k)";

/// As much as time and disk allow; answers how many tasks.
std::int64_t make_long_history(PipelineScene& scene, const fs::path& folder) {
  constexpr std::int32_t kRunsOfPass = 2000;
  pg::Session& session = scene.session();
  session.set_timeout(10min);
  session.execute_script(kMakePastDays);
  session.set("synchronous_commit", "off");
  std::int64_t id = 1'000'000'000;
  const Deadline end = Deadline::after(kFilling);
  do {
    for (std::int32_t day = 30; day >= 2; --day) {
      session.execute(kFillDay, id, day, kRunsOfPass);
      id += kRunsOfPass;
    }
  } while (!end.expired() && fs::space(folder).available > kLeaveFree);
  for (const char* table : {"run_done", "task_done", "task_attempt"})
    session.execute(fmt::format("ANALYZE weir.{}", table));
  session.execute("CHECKPOINT");
  return (id - 1'000'000'000) * kTasks;
}

}  // namespace

std::vector<Measurement> bench_acceptance(PipelineScene& scene) {
  make_pipelines(scene);
  const double fresh = ready_to_running(scene);
  const std::int64_t history = make_long_history(scene, scene.folder());
  const double old = ready_to_running(scene);
  return {{.name = fmt::format("ready to running, p99, 500 pipelines x 30 tasks at one tick, with {} ended "
                               "tasks of 30 days",
                               human_count(history)),
           .value = old,
           .unit = "ms",
           .ratio = old / fresh,
           .target = 1.2,
           .higher_is_better = false,
           .against = "an empty history"}};
}

}  // namespace weir::bench
