#include "group_scene.h"
#include "suites.h"

namespace weir::bench {

std::vector<Measurement> bench_group(Scene& scene) {
  GroupScene groups(scene);
  std::vector<Measurement> results;
  const auto add = [&](std::vector<Measurement> some) {
    for (Measurement& each : some) results.push_back(std::move(each));
  };
  if (scene.wants("work")) add(bench_group_work(groups));
  if (scene.wants("handover")) add(bench_group_handover(groups));
  if (scene.wants("wake")) add(bench_group_wake(groups));
  if (scene.wants("fairness")) add(bench_group_fairness(groups));
  if (scene.wants("recovery")) add(bench_group_recovery(groups));
  if (scene.wants_by_name("long")) {
    add(bench_group_poll(groups, 10'000'000));
  } else if (scene.wants("poll")) {
    add(bench_group_poll(groups, 1'000'000));
  }
  return results;
}

}  // namespace weir::bench
