#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "base/mutex.h"
#include "base/wait.h"
#include "pg/error.h"
#include "pg/pool.h"
#include "pg/transaction.h"
#include "pipeline/demo/stage.h"

namespace weir::pipeline::demo {
namespace {

constexpr const char* kConnectionsPipeline = "connections";
constexpr int kExecutors = 16;
constexpr std::size_t kPool = 5;
/// In seconds, a little more than a task holds one: other pools wait 30 s, of tasks that take minutes.
constexpr double kPatience = 0.5;
constexpr double kShortest = 0.15;
constexpr double kLongest = 0.45;
constexpr Duration kWaits = std::chrono::milliseconds(100);
constexpr Duration kSampleEvery = std::chrono::milliseconds(10);

// Transactions between two statements of a client that is at it are none of the disease.
constexpr const char* kSample = R"(
SELECT count(*), count(*) FILTER (WHERE a.state = 'idle in transaction'
                                    AND clock_timestamp() - a.state_change > interval '20 ms')
  FROM pg_catalog.pg_stat_activity a
 WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.application_name <> 'weir:api:demo')";

constexpr const char* kFill =
    "INSERT INTO demo.task_instance (id, run_id) SELECT n, 1 FROM generate_series(0, $1::int4 - 1) n";
constexpr const char* kConnectionsBegin =
    "UPDATE demo.task_instance SET state = 'running' WHERE id = $1::int4";
constexpr const char* kConnectionsEnd = "UPDATE demo.task_instance SET state = 'success' WHERE id = $1::int4";

// done, waited, longest wait: from the moment that the slot before it was free, or that all of them were.
constexpr const char* kWaitsOfWeir = R"(
WITH a AS (SELECT a.started_at, a.ended_at, a.ready_at FROM weir.task_attempt a WHERE a.run_id = $1::int8),
     begun AS (SELECT a.started_at, a.ready_at, row_number() OVER (ORDER BY a.started_at) AS n FROM a),
     freed AS (SELECT a.ended_at, row_number() OVER (ORDER BY a.ended_at) AS n FROM a),
     wait AS (SELECT extract(epoch FROM b.started_at - coalesce(f.ended_at, b.ready_at)) * 1000 AS ms
                FROM begun b LEFT JOIN freed f ON f.n = b.n - $2::int4)
SELECT count(*), count(*) FILTER (WHERE ms > $3::float8), coalesce(greatest(max(ms), 0), 0)::float8 FROM wait)";

/// How long each task takes, in seconds.
std::vector<double> holds(const SchedulerDemoOptions& options) {
  std::mt19937_64 random(options.seed);
  std::vector<double> all;
  for (int i = 0; i < options.working; ++i) {
    // By hand: what a distribution answers differs between standard libraries.
    const double part = static_cast<double>(random() % 1000) / 1000;
    all.push_back((kShortest + (kLongest - kShortest) * part) * options.slowness);
  }
  return all;
}

Duration seconds(double value) { return from_seconds(value); }

/// Looks at the sessions while it lives, on a thread of its own.
class Sampler {
 public:
  explicit Sampler(const Stage& stage)
      : thread_([this, &stage](const std::stop_token& stop) { sample(stage, stop); }) {}

  void read(ConnectionFigures& figures) const {
    figures.connections = connections_;
    figures.idle_in_transaction = idle_;
  }

 private:
  void sample(const Stage& stage, const std::stop_token& stop) {
    try {
      pg::Session session = stage.connect();
      Wakeup unused;
      while (wait_fd(-1, 0, Deadline::after(kSampleEvery), stop, unused) != WaitEnd::stopped) {
        const pg::Result seen = session.execute(kSample);
        connections_ = std::max(connections_.load(), seen[0].get<std::int64_t>(0));
        idle_ = std::max(idle_.load(), seen[0].get<std::int64_t>(1));
      }
    } catch (const pg::Error&) {
      // The demo was stopped, or meets the same by itself.
    }
  }

  std::atomic<std::int64_t> connections_{0};
  std::atomic<std::int64_t> idle_{0};
  std::jthread thread_;
};

/// Executors that share a pool, as a scheduler and its tasks share that of their database layer.
class SharedPool {
 public:
  SharedPool(Stage& stage, std::vector<double> holds)
      : stage_(stage),
        holds_(std::move(holds)),
        pool_(stage.connector(),
              {.name = "shared", .size = kPool, .wait = seconds(kPatience * stage.options().slowness)}) {}

  void execute() {
    for (std::size_t task = next_++; task < holds_.size(); task = next_++) {
      const SteadyTime began = std::chrono::steady_clock::now();
      try {
        pg::Lease lease = pool_.lease({.stop = stage_.stop()});
        note_wait(std::chrono::steady_clock::now() - began);
        run(*lease, task);
      } catch (const pg::Error& error) {
        if (error.kind() != pg::ErrorKind::exhausted) throw;
        note_wait(std::chrono::steady_clock::now() - began);
        ++gave_up_;
      }
    }
  }

  void read(ConnectionFigures& figures) {
    const MutexLock lock(mutex_);
    figures.done = done_;
    figures.gave_up = gave_up_;
    figures.waited = waited_;
    figures.longest_wait = longest_;
  }

 private:
  /// The transaction is open for as long as the task works: its session is an attribute of it.
  void run(pg::Session& session, std::size_t task) {
    session.set_stop(stage_.stop());
    pg::Transaction transaction(session);
    session.execute(kConnectionsBegin, static_cast<std::int32_t>(task));
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(seconds(holds_[task])), stage_.stop(), unused);
    session.execute(kConnectionsEnd, static_cast<std::int32_t>(task));
    transaction.commit();
    ++done_;
  }
  void note_wait(Duration wait) {
    const MutexLock lock(mutex_);
    longest_ = std::max(longest_, wait);
    if (wait > kWaits) ++waited_;
  }

  Stage& stage_;
  std::vector<double> holds_;
  pg::Pool pool_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::int64_t> done_{0};
  std::atomic<std::int64_t> gave_up_{0};
  Mutex mutex_;
  Duration longest_ WEIR_GUARDED_BY(mutex_){};
  std::int64_t waited_ WEIR_GUARDED_BY(mutex_) = 0;
};

void show_pool(Stage& stage, SchedulerFigures& figures) {
  pg::Session session = stage.connect();
  session.execute("TRUNCATE demo.task_instance");
  session.execute(kFill, stage.options().working);
  stage.options().on_step(fmt::format("{} tasks, {} at a time, a pool of {} connections",
                                      stage.options().working, kExecutors, kPool));
  figures.connections.push_back({.way = fmt::format("a pool of {} for all", kPool),
                                 .tasks = stage.options().working,
                                 .budget = static_cast<std::int64_t>(kPool)});
  SharedPool pool(stage, holds(stage.options()));
  const Sampler sampler(stage);
  const SteadyTime began = std::chrono::steady_clock::now();
  const auto look = [&] {
    ConnectionFigures& own = figures.connections.back();
    own.span = std::chrono::steady_clock::now() - began;
    pool.read(own);
    sampler.read(own);
    stage.options().on_frame(figures);
  };
  run_crew(
      kExecutors, [&](int /*executor*/) { pool.execute(); }, look);
  look();
}

void show_weir(Stage& stage, SchedulerFigures& figures) {
  stage.options().on_step(fmt::format("Weir: {} tasks, {} at a time", stage.options().working, kExecutors));
  const auto worker = stage.worker(kExecutors);
  figures.connections.push_back(
      {.way = "Weir", .tasks = stage.options().working, .budget = kExecutors + Stage::kBesideSlots});
  pg::Session session = stage.connect();
  const Sampler sampler(stage);
  const SteadyTime began = std::chrono::steady_clock::now();
  const std::int64_t run = stage.start_runs(kConnectionsPipeline, 1);
  const auto look = [&] {
    ConnectionFigures& own = figures.connections.back();
    own.span = std::chrono::steady_clock::now() - began;
    const pg::Result waits = session.execute(kWaitsOfWeir, run, kExecutors,
                                             std::chrono::duration<double, std::milli>(kWaits).count());
    own.done = waits[0].get<std::int64_t>(0);
    own.waited = waits[0].get<std::int64_t>(1);
    own.longest_wait = seconds(waits[0].get<double>(2) / 1000);
    sampler.read(own);
    stage.options().on_frame(figures);
  };
  stage.wait_until(
      [&] {
        return session.execute("SELECT EXISTS (SELECT FROM weir.run_done WHERE id = $1)", run)[0].get<bool>(
            0);
      },
      look);
  look();
  worker->stop();
}

}  // namespace

PipelineDefinition connections_pipeline(const SchedulerDemoOptions& options) {
  std::vector<TaskDefinition> tasks;
  for (const double hold : holds(options)) {
    tasks.push_back({.name = fmt::format("t{}", tasks.size()),
                     .body = RunBody{.argv = {"sleep", fmt::format("{:.3f}", hold)}}});
  }
  return independent_tasks(kConnectionsPipeline, std::move(tasks));
}

void show_connections(Stage& stage, SchedulerFigures& figures) {
  show_pool(stage, figures);
  show_weir(stage, figures);
}

}  // namespace weir::pipeline::demo
