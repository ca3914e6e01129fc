#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "exec/child.h"
#include "pipeline/define/definition_json.h"
#include "pipeline/run/store.h"
#include "pipeline/run/worker.h"
#include "pipeline/run_plan.h"
#include "schema/migrator.h"
#include "schema/queries.h"
#include "suites.h"

namespace weir::bench {
namespace {

using namespace std::chrono_literals;
using namespace pipeline;

constexpr int kRounds = 5;
constexpr int kChain = 40;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class PipelineScene {
 public:
  explicit PipelineScene(Scene& plain) : plain_(plain), session_(plain.session()) {
    schema::migrate(session_);
  }

  [[nodiscard]] pg::Session& session() noexcept { return session_; }

  /// `count` tasks of that body, each after the one before where `chained`.
  std::int32_t store(const std::string& name, const decltype(TaskDefinition::body)& body, int count,
                     bool chained, int max_active_runs = 1) {
    PipelineDefinition definition{.name = name, .max_active_runs = max_active_runs};
    for (int i = 0; i < count; ++i) {
      TaskDefinition task{.name = "t" + std::to_string(i), .body = body};
      if (chained && i > 0) task.upstream = {i - 1};
      if (chained && i + 1 < count) task.downstream = {i + 1};
      definition.tasks.push_back(std::move(task));
    }
    const auto made = session_.run<sql::MakePipeline>(name, "bench");
    const auto row = made.one();
    store_definition(session_, row.id, row.version,
                     {.json = to_json(definition),
                      .hash = definition_hash(definition),
                      .plan = plan_run(definition),
                      .max_active_runs = max_active_runs});
    return row.id;
  }

  std::unique_ptr<Worker> worker(std::size_t slots) {
    pg::Connector::Options options;
    options.users_search_path = true;
    Surroundings at{
        .connector = std::make_shared<const pg::Connector>(plain_.connector().conninfo(), options),
        .project = plain_.folder()};
    auto worker = std::make_unique<Worker>(std::move(at), WorkerOptions{.slots = slots});
    worker->start();
    return worker;
  }

  /// Seconds from the start of a run to its end, by the server's clock.
  double run(std::int32_t pipeline) {
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

 private:
  Scene& plain_;
  pg::Session session_;
};

/// The median overhead of a task in a chain, in milliseconds.
double chain(PipelineScene& scene, const std::string& name, const decltype(TaskDefinition::body)& body,
             int tasks) {
  const std::int32_t pipeline = scene.store(name, body, tasks, true);
  const auto worker = scene.worker(1);
  scene.run(pipeline);
  std::vector<double> each;
  for (int i = 0; i < kRounds; ++i) each.push_back(scene.run(pipeline) * 1000 / tasks);
  worker->stop();
  return median(each);
}

double bare_process_ms(const std::vector<std::string>& argv, int times) {
  return seconds_of([&] {
           for (int i = 0; i < times; ++i) exec::run_command({.argv = argv}, Deadline::after(60s), {});
         }) *
         1000 / times;
}

Measurement bench_sql_chain(PipelineScene& scene) {
  return {.name = "a task of a chain of 40, SQL `SELECT 1`",
          .value = chain(scene, "sql", SqlBody{.text = "SELECT 1"}, kChain),
          .unit = "ms",
          .target = 2.0,
          .higher_is_better = false};
}

Measurement process_chain(PipelineScene& scene, const std::string& name, const std::vector<std::string>& argv,
                          const std::string& what, int tasks) {
  const double ours = chain(scene, name, RunBody{.argv = argv}, tasks);
  const double bare = bare_process_ms(argv, tasks);
  return {
      .name = fmt::format("overhead of a task of a chain of {}, {} ({:.2f} ms by itself)", tasks, what, bare),
      .value = ours - bare,
      .unit = "ms",
      .target = 3.0,
      .higher_is_better = false};
}

Measurement bench_throughput(PipelineScene& scene) {
  constexpr int kRuns = 2000;
  const std::int32_t pipeline = scene.store("single", SqlBody{.text = "SELECT 1"}, 1, false, 100'000);
  scene.session().execute(
      "SELECT count(weir.create_run($1, 'manual', clock_timestamp() + n * interval '1 us', "
      "clock_timestamp(), "
      "clock_timestamp(), '{}')) FROM generate_series(1, $2::int4) n",
      pipeline, kRuns);
  scene.session().run<sql::StartRuns>(pipeline);
  const auto worker = scene.worker(8);
  const double seconds = seconds_of([&] {
    while (scene.session().execute("SELECT count(*) FROM weir.run")[0].get<std::int64_t>(0) > 0)
      scene.session().execute("SELECT pg_sleep(0.01)");
  });
  worker->stop();
  return {.name = "independent runs of one SQL task, 8 slots", .value = kRuns / seconds, .unit = "runs/s"};
}

Measurement bench_idle(PipelineScene& scene) {
  const auto worker = scene.worker(4);
  worker->asleep().enable();
  worker->asleep().wait(Deadline::after(20s));
  const auto commits = [&] {
    scene.session().execute("SELECT pg_stat_clear_snapshot()");
    return scene.session()
        .execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")[0]
        .get<std::int64_t>(0);
  };
  // Only what the process does: a session tells its counts when it has been idle for 10 s, and autovacuum has
  // some of its own.
  constexpr int kSeconds = 30;
  const auto autovacuum = [&](const char* setting) {
    scene.session().execute(fmt::format("ALTER SYSTEM SET autovacuum = {}", setting));
    scene.session().execute("SELECT pg_reload_conf()");
  };
  autovacuum("off");
  scene.session().execute("SELECT pg_sleep(15)");
  const std::int64_t before = commits();
  scene.session().execute("SELECT pg_sleep($1::int4)", kSeconds);
  const double rate = static_cast<double>(commits() - before - 2) / kSeconds;
  autovacuum("DEFAULT");
  worker->stop();
  return {.name = "transactions of an idle process",
          .value = rate,
          .unit = "/s",
          .target = 1.0,
          .higher_is_better = false};
}

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

std::vector<Measurement> bench_history(PipelineScene& scene) {
  const std::int32_t pipeline = scene.store("thirty", SqlBody{.text = "SELECT 1"}, 30, true);
  const double fresh = ready_to_running_p99(scene, pipeline);
  make_history(scene.session(), pipeline);
  const double old = ready_to_running_p99(scene, pipeline);
  std::vector<double> listed;
  for (int i = 0; i < kRounds; ++i) {
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

}  // namespace

std::vector<Measurement> bench_pipeline(Scene& plain) {
  PipelineScene scene(plain);
  std::vector<Measurement> results;
  if (plain.wants("sql")) results.push_back(bench_sql_chain(scene));
  if (plain.wants("process"))
    results.push_back(process_chain(scene, "true", {"/bin/true"}, "/bin/true", kChain));
  const char* const fib = std::getenv("WEIR_BENCH_FIB");
  if (fib != nullptr && plain.wants("fib")) {
    results.push_back(process_chain(scene, "fib10", {fib, "10"}, "fib(10) in C", 40));
    results.push_back(process_chain(scene, "fib33", {fib, "33"}, "fib(33) in C", 10));
  }
  if (plain.wants("throughput")) results.push_back(bench_throughput(scene));
  if (plain.wants("idle")) results.push_back(bench_idle(scene));
  if (plain.wants("history")) {
    for (Measurement& each : bench_history(scene)) results.push_back(std::move(each));
  }
  return results;
}

}  // namespace weir::bench
