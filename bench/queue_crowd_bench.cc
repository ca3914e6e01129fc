#include <algorithm>
#include <atomic>

#include "queue_scene.h"

namespace weir::bench {
namespace {

constexpr int kWaiting = 10'000'000;
constexpr int kScheduled = 1'000'000;
constexpr int kIdleQueues = 1'000;
constexpr int kTaken = 200'000;

/// Jobs a second, until so many were begun: the rest stays.
double take_some(QueueScene& scene, int jobs) {
  std::atomic<int> begun{0};
  TestSignal<int> enough;
  enough.enable();
  scene.functions()["trivial"] = [&](const queue::JobContext&) {
    if (++begun == jobs) enough.emit(jobs);
    return work::Outcome::done();
  };
  const auto worker = scene.worker({.queues = {"bench"}, .slots = 2});
  const double seconds = seconds_of([&] {
    worker->start();
    enough.wait(Deadline::after(std::chrono::minutes(5)));
  });
  worker->stop();
  return jobs / seconds;
}

double p50(std::vector<double> sorted) { return sorted[sorted.size() / 2]; }

void make_crowd(QueueScene& scene) {
  pg::Session& session = scene.session();
  session.execute("SELECT weir.enqueue('idle_' || n, '{}'::jsonb) FROM generate_series(1, $1::int4) n",
                  kIdleQueues);
  session.execute("TRUNCATE weir.job");
  session.execute(
      "INSERT INTO weir.job_later (id, run_at, queue_id, kind, payload) SELECT nextval('weir.job_id'), "
      "clock_timestamp() + interval '1 day' + n * interval '1 ms', weir.queue_id('bench'), 'trivial', "
      "'{\"id\": 1}' "
      "FROM generate_series(1, $1::int4) n",
      kScheduled);
  constexpr int kAtOnce = 500'000;
  for (int made = 0; made < kWaiting; made += kAtOnce) scene.add(kAtOnce);
  session.execute("VACUUM ANALYZE weir.job, weir.job_later");
  session.execute("CHECKPOINT");
}

}  // namespace

/// The same claims in an empty database, and among 10 million jobs of their own queue.
std::vector<Measurement> bench_crowd(QueueScene& scene) {
  const auto median_of = [](const std::function<double()>& work) {
    std::vector<double> values;
    for (int round = 0; round < kQueueRounds; ++round) values.push_back(work());
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  };
  scene.fill(0);
  const double latency_before = p50(start_latencies(scene, 300));
  const double rate_before = median_of([&] {
    scene.fill(kTaken * 3 / 2);
    return take_some(scene, kTaken);
  });
  scene.fill(0);
  make_crowd(scene);
  const double rate_after = median_of([&] { return take_some(scene, kTaken); });
  scene.session().execute("UPDATE weir.queue SET paused = true WHERE name = 'bench'");
  const double latency_after = p50(start_latencies(scene, 300, "idle_500"));
  scene.session().execute("UPDATE weir.queue SET paused = false WHERE name = 'bench'");
  return {{.name = "leased, of 10 million waiting jobs, 1 million scheduled, 1,000 idle queues",
           .value = rate_after,
           .unit = "jobs/s",
           .ratio = rate_after / rate_before,
           .target = 0.83,
           .against = "the same jobs alone"},
          {.name = "enqueue to start among them, a worker of all 1,001 queues, p50",
           .value = latency_after,
           .unit = "ms",
           .ratio = latency_after / latency_before,
           .target = 1.2,
           .higher_is_better = false,
           .against = "one queue and nothing else"}};
}

}  // namespace weir::bench
