#include <fmt/format.h>

#include "group_scene.h"

namespace weir::bench {
namespace {

constexpr int kGroups = 8;
constexpr int kRounds = 12;
constexpr int kBatchesEach = 6'000;  // more than all rounds get through
constexpr Duration kBatch = std::chrono::milliseconds(5);

// Of batches that follow each other in a group: from the end of one to the beginning of the next, on the
// server's clock.
std::string gaps(const std::string& where) {
  return fmt::format(
      "SELECT extract(epoch FROM begun_at - before) * 1000 FROM (SELECT a.begun_at, lag(a.ended_at) OVER w "
      "AS "
      "before, split_part(a.owner, '#', 1) AS process, split_part(lag(a.owner) OVER w, '#', 1) AS "
      "process_before FROM weir.batch_attempt a WINDOW w AS (PARTITION BY a.run_id ORDER BY a.idx)) x "
      "WHERE before IS NOT NULL AND {}",
      where);
}

std::vector<Measurement> told(const std::string& name, const GroupScene::Spread& spread) {
  return {{.name = fmt::format("{}, p50 ({} times)", name, spread.count),
           .value = spread.p50,
           .unit = "ms",
           .higher_is_better = false},
          {.name = name + ", p99", .value = spread.p99, .unit = "ms", .higher_is_better = false}};
}

}  // namespace

/// One consumer has all groups and stops; another one, which had found nothing to do, takes them.
std::vector<Measurement> bench_group_handover(GroupScene& scene) {
  scene.make({"s"});
  scene.submit("t", 1, kGroups, kBatchesEach);
  auto now = scene.consumer("s", outside_sink(kBatch), {.concurrency = kGroups});
  now->start();
  const std::string held = fmt::format(
      "count(*) = {} AND count(DISTINCT split_part(owner, '#', 1)) = 1 AND "
      "coalesce(min(split_part(owner, '#', 1)), '') <> '",
      kGroups);
  std::string before;
  for (int round = 0; round < kRounds; ++round) {
    scene.wait_until(held + before + "' FROM weir.group_hold");
    before = scene.session()
                 .execute("SELECT min(split_part(owner, '#', 1)) FROM weir.group_hold")[0]
                 .get<std::string>(0);
    auto next = scene.consumer("s", outside_sink(kBatch), {.concurrency = kGroups});
    next->start();
    // Long enough for it to be asleep: who stops has to wake it.
    scene.session().execute("SELECT pg_sleep(2)");
    now->stop();
    now = std::move(next);
  }
  now->stop();
  std::vector<Measurement> results =
      told("between two batches of a group, outside sink", scene.spread(gaps("process = process_before")));
  for (Measurement& each :
       told("from a consumer that stops to an idle one", scene.spread(gaps("process <> process_before"))))
    results.push_back(std::move(each));

  // Now others wait, and a group that has much before it gives its slot up after a turn.
  scene.make({"s"});
  scene.submit("t", 1, 2 * kGroups, kBatchesEach);
  auto crowded = scene.consumer("s", outside_sink(kBatch), {.concurrency = kGroups});
  crowded->start();
  scene.session().execute("SELECT pg_sleep(13)");
  crowded->stop();
  const std::string slots = fmt::format(
      "SELECT extract(epoch FROM a.begun_at - b.ended_at) * 1000 FROM (SELECT *, lag(a.owner) OVER w AS "
      "owner_before, row_number() OVER (ORDER BY a.begun_at) AS n FROM weir.batch_attempt a WINDOW w AS "
      "(PARTITION BY a.run_id ORDER BY a.idx)) a JOIN LATERAL (SELECT max(e.ended_at) AS ended_at FROM "
      "(SELECT a.ended_at, lead(a.owner) OVER (PARTITION BY a.run_id ORDER BY a.idx) AS next, a.owner FROM "
      "weir.batch_attempt a) e WHERE e.next IS DISTINCT FROM e.owner AND e.ended_at < a.begun_at) b ON true "
      "WHERE a.owner IS DISTINCT FROM a.owner_before AND b.ended_at IS NOT NULL");
  for (Measurement& each :
       told("from a group that yields its slot to the next group in a slot", scene.spread(slots)))
    results.push_back(std::move(each));
  return results;
}

}  // namespace weir::bench
