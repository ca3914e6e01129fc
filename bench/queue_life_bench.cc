#include <algorithm>
#include <atomic>
#include <thread>

#include <poll.h>

#include "queue_scene.h"

namespace weir::bench {
namespace {

constexpr int kProducers = 64;
constexpr int kEnqueues = 80000;

}  // namespace

/// Two workers sleep, are woken, work and sleep again, while 64 clients enqueue single jobs.
Measurement bench_enqueue(QueueScene& scene) {
  scene.session().execute_script("CREATE TABLE bench_plain (LIKE weir.job INCLUDING ALL)");
  const Pair rate = in_turn(
      kQueueRounds,
      [&] {
        scene.fill(0);
        const auto first = scene.worker({.queues = {"bench"}, .slots = 1});
        const auto second = scene.worker({.queues = {"bench"}, .slots = 1});
        first->start();
        second->start();
        const double tps =
            scene.plain().pgbench("enqueue", "SELECT weir.enqueue('bench', '{\"id\": 1}', 'trivial');\n",
                                  kProducers, kEnqueues / kProducers);
        first->stop();
        second->stop();
        return tps;
      },
      [&] {
        scene.session().execute("TRUNCATE bench_plain");
        return scene.plain().pgbench(
            "insert",
            "INSERT INTO bench_plain (queue_id, kind, payload) VALUES (1, 'trivial', '{\"id\": 1}');\n",
            kProducers, kEnqueues / kProducers);
      });
  return {.name = "enqueue from 64 clients while two workers take the jobs",
          .value = rate.ours,
          .unit = "jobs/s",
          .ratio = rate.ours / rate.theirs,
          .target = 0.8,
          .against = "a plain INSERT, nobody reading"};
}

std::vector<double> start_latencies(QueueScene& scene, int tries, const std::string& queue) {
  Wakeup started;
  std::atomic<SteadyTime::rep> at{0};
  scene.functions()[""] = [&](const queue::JobContext&) {
    at = std::chrono::steady_clock::now().time_since_epoch().count();
    started.notify();
    return work::Outcome::done();
  };
  const auto worker = scene.worker(
      {.queues = queue.empty() ? std::vector<std::string>{"bench"} : std::vector<std::string>{}, .slots = 1});
  worker->asleep().enable();
  worker->start();
  const std::string enqueue = "SELECT weir.enqueue('" + (queue.empty() ? "bench" : queue) + "')";
  std::vector<double> milliseconds;
  Wakeup unused;
  for (int i = 0; i < tries; ++i) {
    worker->asleep().wait(Deadline::after(std::chrono::seconds(20)));
    const auto begin = std::chrono::steady_clock::now();
    scene.session().execute(enqueue);
    wait_fd(started.fd(), POLLIN, Deadline::after(std::chrono::seconds(20)), {}, unused);
    started.drain();
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(SteadyTime(Duration(at)) - begin).count());
  }
  worker->stop();
  scene.functions().erase("");
  std::sort(milliseconds.begin(), milliseconds.end());
  return milliseconds;
}

std::vector<Measurement> bench_idle_latency(QueueScene& scene) {
  constexpr int kTries = 500;
  scene.fill(0);
  const std::vector<double> milliseconds = start_latencies(scene, kTries);
  return {{.name = "enqueue to start, idle system, p50",
           .value = milliseconds[kTries / 2],
           .unit = "ms",
           .target = 2,
           .higher_is_better = false},
          {.name = "enqueue to start, idle system, p99",
           .value = milliseconds[kTries * 99 / 100],
           .unit = "ms",
           .target = 10,
           .higher_is_better = false}};
}

Measurement bench_idle_load(QueueScene& scene) {
  // The server's own workers would be counted with ours.
  scene.session().execute("ALTER SYSTEM SET autovacuum = off");
  scene.session().execute("SELECT pg_reload_conf()");
  const auto worker = scene.worker({.queues = {"bench"}});
  worker->asleep().enable();
  worker->start();
  worker->asleep().wait(Deadline::after(std::chrono::seconds(20)));
  const auto transactions = [&] {
    // A backend that is idle reports what it did up to 10 s late: what starting took would be counted.
    std::this_thread::sleep_for(std::chrono::seconds(12));
    return scene.session()
        .execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")[0]
        .get<std::int64_t>(0);
  };
  constexpr int kSeconds = 60;
  const auto before = transactions();
  std::this_thread::sleep_for(std::chrono::seconds(kSeconds - 12));
  const auto after = transactions();
  worker->stop();
  return {.name = "an idle process",
          .value = static_cast<double>(after - before - 1) / kSeconds,
          .unit = "transactions/s",
          .target = 1,
          .higher_is_better = false};
}

}  // namespace weir::bench
