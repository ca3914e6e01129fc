#include <sys/resource.h>

#include <fmt/format.h>

#include "pipeline_scene.h"
#include "schema/queries/tasks.h"

namespace weir::bench {
namespace {

using namespace std::chrono_literals;
using namespace pipeline;

/// That this process has used.
double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

}  // namespace

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

std::vector<Measurement> bench_idle_pipelines(PipelineScene& scene) {
  const auto worker = scene.worker(4);
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
  const double cpu_before = cpu_seconds();
  scene.session().execute("SELECT pg_sleep($1::int4)", kSeconds);
  // This thread waits for the server meanwhile, and that costs next to nothing.
  const double cpu = cpu_seconds() - cpu_before;
  const double rate = static_cast<double>(commits() - before - 2) / kSeconds;
  autovacuum("DEFAULT");
  worker->stop();
  return {{.name = "transactions of an idle process",
           .value = rate,
           .unit = "/s",
           .target = 1.0,
           .higher_is_better = false},
          {.name = "CPU of an idle process, of one core",
           .value = 100 * cpu / kSeconds,
           .unit = "%",
           .higher_is_better = false}};
}

}  // namespace weir::bench
