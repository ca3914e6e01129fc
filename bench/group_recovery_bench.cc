#include <csignal>
#include <thread>

#include <fmt/format.h>

#include "exec/child.h"
#include "group_scene.h"

namespace weir::bench {
namespace {

constexpr int kGroups = 16;
constexpr int kKills = 5;
constexpr Duration kLease = std::chrono::seconds(5);

group::Ownership ownership_of(std::string_view name) {
  return name == "lease" ? group::Ownership::lease : group::Ownership::advisory;
}

/// From the kill to the moment when a second consumer has begun a batch in each of the groups, in seconds.
double recover(GroupScene& scene, const std::string& ownership) {
  scene.make({"s"}, kLease);
  scene.submit("t", 4, kGroups / 4, 3);
  exec::Command command;
  command.argv = {"/proc/self/exe", "--hold-groups", scene.plain().url(), ownership};
  exec::Child victim(command);
  scene.wait_until(fmt::format("count(*) = {} FROM weir.group_hold WHERE run_id IS NOT NULL", kGroups));
  const std::string owner = scene.session()
                                .execute("SELECT min(split_part(owner, '#', 1)) FROM weir.group_hold")[0]
                                .get<std::string>(0);
  const auto heir = scene.consumer("s", outside_sink(std::chrono::hours(1)),
                                   {.ownership = ownership_of(ownership), .drain = Duration::zero()});
  heir->start();
  scene.session().execute("SELECT pg_sleep(2)");  // it is idle, and the heartbeats of both go on
  double seconds = 0;
  {
    const auto begin = std::chrono::steady_clock::now();
    ::kill(victim.pid(), SIGKILL);
    scene.wait_until(
        fmt::format("count(*) = {} FROM weir.group_hold WHERE run_id IS NOT NULL AND owner NOT "
                    "LIKE '{}#%'",
                    kGroups, owner));
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  static_cast<void>(victim.wait(Deadline::after(std::chrono::seconds(10)), {}));
  heir->stop();
  return seconds;
}

Measurement measure(GroupScene& scene, const std::string& ownership, double limit) {
  double most = 0;
  double sum = 0;
  for (int i = 0; i < kKills; ++i) {
    const double took = recover(scene, ownership);
    most = std::max(most, took);
    sum += took;
  }
  return {.name = fmt::format("16 groups of a killed consumer are in work again, by {}, lease of 5 s, the "
                              "slowest of {} (mean {:.1f} s)",
                              ownership == "lease" ? "lease" : "lock", kKills, sum / kKills),
          .value = most,
          .unit = "s",
          .target = limit,
          .higher_is_better = false};
}

}  // namespace

int hold_groups(const std::string& url, const std::string& ownership) {
  group::Consumer consumer(std::make_shared<pg::Connector>(pg::Conninfo::parse(url)),
                           outside_sink(std::chrono::hours(1)),
                           {.feed = std::string(kFeed), .sink = "s", .ownership = ownership_of(ownership)});
  consumer.start();
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

std::vector<Measurement> bench_group_recovery(GroupScene& scene) {
  // A sweep is every third of a lease, and a look of the poll loop at the latest every second.
  const double sweep = std::chrono::duration<double>(kLease).count() / 3;
  return {measure(scene, "advisory", sweep + 1),
          measure(scene, "lease", std::chrono::duration<double>(kLease).count() + sweep + 1)};
}

}  // namespace weir::bench
