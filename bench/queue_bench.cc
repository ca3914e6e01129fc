#include "queue_scene.h"
#include "suites.h"

namespace weir::bench {

std::vector<Measurement> bench_queue(Scene& scene) {
  QueueScene queues(scene);
  std::vector<Measurement> results;
  const auto add = [&](std::vector<Measurement> some) {
    for (Measurement& each : some) results.push_back(std::move(each));
  };
  if (scene.wants("leased")) add({bench_leased(queues)});
  if (scene.wants("transactional")) add({bench_transactional(queues)});
  if (scene.wants("held")) add({bench_held_snapshot(queues)});
  if (scene.wants("enqueue")) add({bench_enqueue(queues)});
  if (scene.wants("latency")) add(bench_idle_latency(queues));
  if (scene.wants("idle")) add({bench_idle_load(queues)});
  if (scene.wants("crowd")) add(bench_crowd(queues));
  if (scene.wants("memory")) add({bench_memory(queues)});
  if (scene.wants("peers")) add(bench_peers(queues));
  return results;
}

}  // namespace weir::bench
