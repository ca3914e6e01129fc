#include <algorithm>

#include <fmt/format.h>

#include "pg/transaction.h"
#include "queue_scene.h"

namespace weir::bench {
namespace {

constexpr int kJobs = 200000;
constexpr int kDeadRows = 600000;

}  // namespace

/// What an engineer would write by hand: mark a thousand rows, delete them. The table has what such a table
/// has.
Measurement bench_leased(QueueScene& scene) {
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
      kQueueRounds,
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
        return 1000 * scene.plain().pgbench("claim", bare, 1, kJobs / 1000, {"-D", "low=0"});
      });
  return {.name = "leased, trivial jobs",
          .value = rate.ours,
          .unit = "jobs/s",
          .ratio = rate.ours / rate.theirs,
          .target = 0.8,
          .against = "claim and delete of 1,000 rows in SQL, pgbench, 1 client"};
}

Measurement bench_transactional(QueueScene& scene) {
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
      kQueueRounds,
      [&] {
        scene.fill(kJobs);
        return scene.work_off(kJobs, queue::Delivery::transactional, 2);
      },
      [&] {
        scene.fill(kJobs);
        return 1000 * scene.plain().pgbench("take", bare, 2, kJobs / 2000,
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
Measurement bench_held_snapshot(QueueScene& scene) {
  std::vector<double> fresh;
  std::vector<double> held;
  for (int round = 0; round < kQueueRounds; ++round) {
    scene.fill(kJobs);
    fresh.push_back(scene.work_off(kJobs, queue::Delivery::leased, 2));
    scene.fill(kDeadRows);
    pg::Session holder = scene.plain().session();
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

}  // namespace weir::bench
