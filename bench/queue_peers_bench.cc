#include <fmt/format.h>

#include "queue_scene.h"

namespace weir::bench {
namespace {

constexpr int kJobs = 200000;

/// A program of bench/peers, whose last line says how many seconds its queue took.
double peer(QueueScene& scene, const char* program, int jobs) {
  const std::filesystem::path folder = ::getenv("WEIR_BENCH_PEERS");
  std::string said = scene.plain().run_tool(
      {"node", (folder / program).string(), scene.plain().url(), std::to_string(jobs)});
  while (said.ends_with('\n')) said.pop_back();
  return jobs / std::stod(said.substr(said.find_last_of('\n') + 1));
}

Measurement beside(QueueScene& scene, const char* program, const char* name, std::optional<double> target) {
  const Pair rate = in_turn(
      kQueueRounds,
      [&] {
        scene.fill(kJobs);
        return scene.work_off(kJobs, queue::Delivery::leased, 2);
      },
      [&] { return peer(scene, program, kJobs); });
  return {.name = fmt::format("leased, trivial jobs, beside {} ({:.0f} jobs/s)", name, rate.theirs),
          .value = rate.ours,
          .unit = "jobs/s",
          .ratio = rate.ours / rate.theirs,
          .target = target,
          .against = name};
}

}  // namespace

std::vector<Measurement> bench_peers(QueueScene& scene) {
  if (::getenv("WEIR_BENCH_PEERS") == nullptr) return {};
  return {beside(scene, "graphile.js", "Graphile Worker, local queue of 1,000, completions in batches", 4.0),
          beside(scene, "pgboss.js", "pg-boss, two fetchers of 1,000", std::nullopt)};
}

}  // namespace weir::bench
