#include <algorithm>

#include <fmt/format.h>

#include "group_scene.h"
#include "schema/queries/groups.h"

namespace weir::bench {
namespace {

constexpr int kLooks = 200;
constexpr int kTenants = 50;
constexpr int kGroupsEach = 40;
constexpr std::int64_t kRun = 10;  // batches

/// Batches that were done: their runs, turns and attempts, over all partitions that there are.
void add_history(GroupScene& scene, std::int64_t batches) {
  const std::string days =
      "(SELECT date_trunc('day', clock_timestamp()) + (n % 7) * interval '1 day' + interval '6 hours')";
  scene.session().execute(fmt::format(
      "INSERT INTO weir.batch_run (feed_id, tenant, key, run, created_at, last_idx) SELECT f.id, 't' || n % "
      "{0}, 'k' || n % {1}, 'old' || n, {2}, {3} - 1 FROM generate_series(1, {4}) n, weir.feed f",
      kTenants, kGroupsEach, days, kRun, batches / kRun));
  scene.session().execute(fmt::format(
      "INSERT INTO weir.batch (run_at, run_id, idx, final, payload) SELECT r.created_at, r.id, i, i = {0} - "
      "1, jsonb_build_object('n', i) FROM weir.batch_run r, generate_series(0, {0} - 1) i WHERE r.run LIKE "
      "'old%'",
      kRun));
  scene.session().execute(fmt::format(
      "INSERT INTO weir.batch_attempt (ended_at, begun_at, run_at, run_id, sink_id, idx, attempt, outcome, "
      "owner) SELECT r.created_at, r.created_at, r.created_at, r.id, k.id, i, 1, 'succeeded', 'host:1:x#1' "
      "FROM weir.batch_run r, weir.feed_sink k, generate_series(0, {} - 1) i WHERE r.run LIKE 'old%'",
      kRun));
  scene.session().execute(fmt::format(
      "INSERT INTO weir.batch_turn (run_id, sink_id, next_idx) SELECT r.id, k.id, {} FROM weir.batch_run r, "
      "weir.feed_sink k WHERE r.run LIKE 'old%'",
      kRun));
  scene.session().execute("VACUUM (ANALYZE) weir.batch_run, weir.batch, weir.batch_attempt, weir.batch_turn");
  scene.session().execute("CHECKPOINT");
}

/// The median of some looks, as the poll loop makes them, in milliseconds.
double look(GroupScene& scene, std::int32_t sink) {
  std::vector<double> times;
  for (int i = 0; i < kLooks; ++i) {
    times.push_back(1000 * seconds_of([&] {
                      const auto found = scene.session().run<sql::ReadyGroups>(
                          sink, std::string(), 48, 256, 5000, std::vector<std::string_view>(),
                          std::vector<std::string_view>());
                      if (found.size() != 49)
                        throw Error(ExitCode::failed, fmt::format("{} candidates", found.size()));
                    }));
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace

std::vector<Measurement> bench_group_poll(GroupScene& scene, std::int64_t history) {
  const auto prepare = [&](std::int64_t batches) {
    scene.make({"s"});
    if (batches > 0) add_history(scene, batches);
    scene.submit("t", kTenants, kGroupsEach, 2);
    return scene.session().execute("SELECT id FROM weir.feed_sink")[0].get<std::int32_t>(0);
  };
  // The better of some for each: whatever else the machine does makes a look longer, never shorter.
  const auto best = [&](std::int32_t sink) {
    double least = look(scene, sink);
    for (int i = 0; i < 4; ++i) least = std::min(least, look(scene, sink));
    return least;
  };
  const double before = best(prepare(0));
  const double among = best(prepare(history));
  const double empty = std::min(before, best(prepare(0)));
  return {{.name = fmt::format("a look for candidates, {} million batches in history", history / 1'000'000),
           .value = among,
           .unit = "ms",
           .ratio = among / empty,
           .target = 1.2,
           .higher_is_better = false,
           .against = fmt::format("an empty history ({:.2f} ms)", empty)}};
}

}  // namespace weir::bench
