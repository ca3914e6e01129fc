#include <algorithm>
#include <fstream>
#include <thread>

#include <poll.h>

#include <fmt/format.h>

#include "pg/transaction.h"
#include "queue/kinds.h"
#include "queue/worker.h"
#include "schema/migrator.h"
#include "suites.h"

namespace weir::bench {
namespace {

constexpr int kRounds = 3;
constexpr int kJobs = 200000;
constexpr int kDeadRows = 600000;
constexpr int kProducers = 64;
constexpr int kEnqueues = 80000;

double transactions_per_second(const std::string& output) {
  const std::size_t at = output.find("tps = ");
  if (at == std::string::npos) throw Error(ExitCode::failed, "pgbench said something else: " + output);
  return std::stod(output.substr(at + 6));
}

class QueueScene {
 public:
  explicit QueueScene(Scene& scene) : scene_(scene), session_(scene.session()) { schema::migrate(session_); }

  [[nodiscard]] pg::Session& session() noexcept { return session_; }

  void fill(int jobs) {
    session_.execute("TRUNCATE weir.job, weir.job_claim");
    add(jobs);
    session_.execute("VACUUM ANALYZE weir.job");
    session_.execute("CHECKPOINT");
  }
  void add(int jobs) {
    session_.execute(
        "SELECT count(*) FROM weir.enqueue_many('bench', ARRAY(SELECT jsonb_build_object('id', n) FROM "
        "generate_series(1, $1::int4) n), 'trivial')",
        jobs);
  }

  /// Jobs a second, from the start of a worker until nothing is left.
  double work_off(int jobs, queue::Delivery delivery, std::size_t slots) {
    const double seconds = seconds_of([&] {
      queue::Worker worker(std::make_shared<pg::Connector>(scene_.connector()),
                           [this] { return std::make_unique<queue::Kinds>(functions_); },
                           {.queues = {"bench"}, .slots = slots, .once = true, .delivery = delivery});
      worker.start();
      worker.wait_until_finished({});
      worker.stop();
    });
    return jobs / seconds;
  }

  double pgbench(const std::string& name, const std::string& script, int clients, int transactions,
                 const std::vector<std::string>& more = {}) {
    const std::filesystem::path path = scene_.folder() / (name + ".sql");
    std::ofstream(path) << script;
    std::vector<std::string> argv{"pgbench", "-n",
                                  "-M",      "prepared",
                                  "-c",      std::to_string(clients),
                                  "-j",      "2",
                                  "-t",      std::to_string(transactions),
                                  "-f",      path.string()};
    argv.insert(argv.end(), more.begin(), more.end());
    argv.push_back(scene_.url());
    return transactions_per_second(scene_.run_tool(argv));
  }

  queue::Kinds::Functions functions_{
      {"trivial", [](const queue::JobContext&) { return work::Outcome::done(); }}};

 private:
  Scene& scene_;
  pg::Session session_;
};

/// What an engineer would write by hand: mark a thousand rows, delete them. The table has what such a table
/// has.
Measurement leased(QueueScene& scene) {
  scene.session().execute_script(
      "CREATE TABLE bench_job (id bigint GENERATED ALWAYS AS IDENTITY, queue int NOT NULL DEFAULT 1, "
      "priority smallint "
      "NOT NULL DEFAULT 0, state smallint NOT NULL DEFAULT 0, attempt smallint NOT NULL DEFAULT 0, worker "
      "int, "
      "payload jsonb NOT NULL, PRIMARY KEY (queue, priority, id)) WITH (fillfactor = 50)");
  const std::string bare =
      "WITH c AS MATERIALIZED (SELECT ctid FROM bench_job WHERE queue = 1 AND state = 0 AND priority = 0 AND "
      "id > :low "
      "ORDER BY priority, id LIMIT 1000 FOR UPDATE SKIP LOCKED), u AS (UPDATE bench_job j SET state = 1, "
      "attempt = attempt + 1, worker = 1 FROM c WHERE j.ctid = c.ctid RETURNING j.id, j.payload) SELECT "
      "coalesce(min(id), :low) AS low, coalesce(max(id), 0) AS high, count(payload) FROM u \\gset\n"
      "DELETE FROM bench_job WHERE queue = 1 AND priority = 0 AND id BETWEEN :low AND :high AND state = 1;\n";
  const Pair rate = in_turn(
      kRounds,
      [&] {
        scene.fill(kJobs);
        return scene.work_off(kJobs, queue::Delivery::leased, 2);
      },
      [&] {
        scene.session().execute("TRUNCATE bench_job");
        scene.session().execute(
            "INSERT INTO bench_job (payload) SELECT jsonb_build_object('id', n) FROM generate_series(1, "
            "$1::int4) n",
            kJobs);
        scene.session().execute("VACUUM ANALYZE bench_job");
        scene.session().execute("CHECKPOINT");
        return 1000 * scene.pgbench("claim", bare, 1, kJobs / 1000, {"-D", "low=0"});
      });
  return {.name = "leased, trivial jobs",
          .value = rate.ours,
          .unit = "jobs/s",
          .ratio = rate.ours / rate.theirs,
          .target = 0.8,
          .against = "claim and delete of 1,000 rows in SQL, pgbench, 1 client"};
}

Measurement transactional(QueueScene& scene) {
  const std::string bare =
      "WITH c AS MATERIALIZED (SELECT ctid FROM weir.job WHERE lane = 0 AND queue_id = :queue AND priority = "
      "0 AND seq > "
      ":low ORDER BY priority, seq LIMIT 1000 FOR UPDATE SKIP LOCKED), d AS (DELETE FROM weir.job j USING c "
      "WHERE "
      "j.ctid = c.ctid RETURNING j.seq, j.payload) SELECT coalesce(min(seq), :low) AS low, count(payload) "
      "FROM d "
      "\\gset\n";
  const auto queue = scene.session().execute("SELECT weir.queue_id('bench')")[0].get<std::int32_t>(0);
  const Pair rate = in_turn(
      kRounds,
      [&] {
        scene.fill(kJobs);
        return scene.work_off(kJobs, queue::Delivery::transactional, 2);
      },
      [&] {
        scene.fill(kJobs);
        return 1000 * scene.pgbench("take", bare, 2, kJobs / 2000,
                                    {"-D", "low=0", "-D", fmt::format("queue={}", queue)});
      });
  return {.name = "transactional, trivial jobs",
          .value = rate.ours,
          .unit = "jobs/s",
          .ratio = rate.ours / rate.theirs,
          .target = 0.8,
          .against = "DELETE .. RETURNING of 1,000 rows, pgbench, 2 clients"};
}

/// An old snapshot keeps every row that was ever finished at the head of the index.
Measurement held_snapshot(Scene& plain, QueueScene& scene) {
  std::vector<double> fresh;
  std::vector<double> held;
  for (int round = 0; round < kRounds; ++round) {
    scene.fill(kJobs);
    fresh.push_back(scene.work_off(kJobs, queue::Delivery::leased, 2));
    scene.fill(kDeadRows);
    pg::Session holder = plain.session();
    pg::Transaction snapshot(holder, {.isolation = pg::Isolation::repeatable_read});
    holder.execute("SELECT count(*) FROM weir.queue");
    scene.work_off(kDeadRows, queue::Delivery::leased, 2);
    scene.add(kJobs);
    held.push_back(scene.work_off(kJobs, queue::Delivery::leased, 2));
  }
  const auto median = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  };
  return {.name = "leased, a snapshot held open over 600,000 dead rows",
          .value = median(held),
          .unit = "jobs/s",
          .ratio = median(held) / median(fresh),
          .target = 0.85,
          .against = "the same without"};
}

/// Two workers sleep, are woken, work and sleep again, while 64 clients enqueue single jobs.
Measurement enqueue(Scene& plain, QueueScene& scene) {
  queue::Kinds::Functions& functions = scene.functions_;
  const auto worker = [&] {
    return std::make_unique<queue::Worker>(
        std::make_shared<pg::Connector>(plain.connector()),
        [&functions] { return std::make_unique<queue::Kinds>(functions); },
        queue::WorkerOptions{.queues = {"bench"}, .slots = 1});
  };
  scene.session().execute_script("CREATE TABLE bench_plain (LIKE weir.job INCLUDING ALL)");
  const Pair rate = in_turn(
      kRounds,
      [&] {
        scene.fill(0);
        const auto first = worker();
        const auto second = worker();
        first->start();
        second->start();
        const double tps =
            scene.pgbench("enqueue", "SELECT weir.enqueue('bench', '{\"id\": 1}', 'trivial');\n", kProducers,
                          kEnqueues / kProducers);
        first->stop();
        second->stop();
        return tps;
      },
      [&] {
        scene.session().execute("TRUNCATE bench_plain");
        return scene.pgbench(
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

std::vector<Measurement> idle_latency(Scene& plain, QueueScene& scene) {
  constexpr int kTries = 500;
  scene.fill(0);
  Wakeup started;
  std::atomic<SteadyTime::rep> at{0};
  queue::Kinds::Functions functions{{"", [&](const queue::JobContext&) {
                                       at = std::chrono::steady_clock::now().time_since_epoch().count();
                                       started.notify();
                                       return work::Outcome::done();
                                     }}};
  queue::Worker worker(std::make_shared<pg::Connector>(plain.connector()),
                       [&] { return std::make_unique<queue::Kinds>(functions); },
                       {.queues = {"bench"}, .slots = 1});
  worker.start();
  worker.asleep().enable();
  std::vector<double> milliseconds;
  Wakeup unused;
  for (int i = 0; i < kTries; ++i) {
    worker.asleep().wait(Deadline::after(std::chrono::seconds(20)));
    const auto begin = std::chrono::steady_clock::now();
    scene.session().execute("SELECT weir.enqueue('bench')");
    wait_fd(started.fd(), POLLIN, Deadline::after(std::chrono::seconds(20)), {}, unused);
    started.drain();
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(SteadyTime(Duration(at)) - begin).count());
  }
  worker.stop();
  std::sort(milliseconds.begin(), milliseconds.end());
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

Measurement idle_load(Scene& plain, QueueScene& scene) {
  // The server's own workers would be counted with ours.
  scene.session().execute("ALTER SYSTEM SET autovacuum = off");
  scene.session().execute("SELECT pg_reload_conf()");
  queue::Worker worker(std::make_shared<pg::Connector>(plain.connector()),
                       [&] { return std::make_unique<queue::Kinds>(scene.functions_); },
                       {.queues = {"bench"}});
  worker.start();
  worker.asleep().enable();
  worker.asleep().wait(Deadline::after(std::chrono::seconds(20)));
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
  worker.stop();
  return {.name = "an idle process",
          .value = static_cast<double>(after - before - 1) / kSeconds,
          .unit = "transactions/s",
          .target = 1,
          .higher_is_better = false};
}

}  // namespace

std::vector<Measurement> bench_queue(Scene& scene) {
  QueueScene queues(scene);
  std::vector<Measurement> results;
  if (scene.wants("leased")) results.push_back(leased(queues));
  if (scene.wants("transactional")) results.push_back(transactional(queues));
  if (scene.wants("held")) results.push_back(held_snapshot(scene, queues));
  if (scene.wants("enqueue")) results.push_back(enqueue(scene, queues));
  if (scene.wants("latency")) {
    for (Measurement& each : idle_latency(scene, queues)) results.push_back(std::move(each));
  }
  if (scene.wants("idle")) results.push_back(idle_load(scene, queues));
  return results;
}

}  // namespace weir::bench
