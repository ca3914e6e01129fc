#include <poll.h>

#include <fmt/format.h>

#include "group_scene.h"

namespace weir::bench {
namespace {

constexpr int kOthers = 10;
constexpr int kGroupsEach = 10;
constexpr int kHeavy = 900;
constexpr int kBatchesEach = 2;
constexpr Duration kBatch = std::chrono::milliseconds(10);

/// From the consumer's first batch to the first one of each of the small tenants' groups.
GroupScene::Spread waits(GroupScene& scene, bool among_many) {
  scene.make({"s"});
  // First come, first served would have the heavy one's before anybody else's.
  if (among_many) scene.submit("heavy", 1, kHeavy, kBatchesEach);
  scene.submit("small", kOthers, kGroupsEach, kBatchesEach);
  scene.consume("s", outside_sink(kBatch), group::Ownership::advisory);
  return scene.spread(
      "SELECT extract(epoch FROM a.begun_at - (SELECT min(f.begun_at) FROM weir.batch_attempt f)) * 1000 "
      "FROM weir.batch_attempt a JOIN weir.batch_run r ON r.id = a.run_id WHERE a.idx = 0 AND r.tenant LIKE "
      "'small%'");
}

}  // namespace

std::vector<Measurement> bench_group_fairness(GroupScene& scene) {
  GroupScene::Spread crowded;
  GroupScene::Spread alone;
  in_turn(
      kGroupRounds,
      [&] {
        crowded = waits(scene, true);
        return crowded.p50;
      },
      [&] {
        alone = waits(scene, false);
        return alone.p50;
      });
  const auto row = [&](const std::string& what, double ours, double theirs) {
    return Measurement{.name = what,
                       .value = ours,
                       .unit = "ms",
                       .ratio = ours / theirs,
                       .higher_is_better = false,
                       .against = fmt::format("the same groups alone ({:.0f} ms)", theirs)};
  };
  return {row("a group of 10 small tenants waits, a heavy one having 90 % of 1,000 groups, p50", crowded.p50,
              alone.p50),
          row("the same, at most", crowded.most, alone.most)};
}

}  // namespace weir::bench
