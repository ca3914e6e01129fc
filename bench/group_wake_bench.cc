#include <algorithm>
#include <atomic>
#include <thread>

#include <poll.h>

#include <fmt/format.h>

#include "group_scene.h"

namespace weir::bench {
namespace {

using namespace std::chrono_literals;

constexpr int kProducers = 16;
constexpr int kSubmissionsEach = 500;
constexpr int kSpare = 8;  // consumers
constexpr Duration kUntilTold = 1h;

/// One batch in each transaction, each producer to a group of its own.
constexpr const char* kSubmit =
    "SELECT weir.submit_batch('t', 'k'::text || :client_id::text, '{\"n\": 1}', feed => 'bench');\n";

class Consumers {
 public:
  Consumers(GroupScene& scene, int count) {
    for (int i = 0; i < count; ++i) {
      auto& one = all_.emplace_back(
          scene.consumer("s", outside_sink(), {.concurrency = kProducers / kSpare, .poll = kUntilTold}));
      one->sleeps.enable();
      one->start();
      if (!one->sleeps.wait(Deadline::after(20s)))
        throw Error(ExitCode::failed, "a consumer with nothing to do does not sleep");
    }
  }
  [[nodiscard]] double woken() const {
    double woken = 0;
    for (const auto& one : all_) woken += static_cast<double>(one->counts().woken);
    return woken;
  }
  void stop() {
    for (const auto& one : all_) one->stop();
  }

 private:
  std::vector<std::unique_ptr<group::Consumer>> all_;
};

/// Somebody who never ends has all groups that will be submitted to.
void hold_all(GroupScene& scene) {
  scene.session().execute(
      "INSERT INTO weir.group_hold (sink_id, tenant, key, owner, expires_at) SELECT k.id, 't', 'k' || n, "
      "'bench', 'infinity' FROM weir.feed_sink k, generate_series(0, $1::int4 - 1) n",
      kProducers);
}

struct Crowd {
  int consumers = 0;
  bool have_work = false;
  bool ask = true;  ///< whether producers ask if somebody sleeps
};

/// Commits a second of all producers.
double submit(GroupScene& scene, const Crowd& crowd, double* woken_each = nullptr) {
  scene.make({"s"});
  if (!crowd.have_work) hold_all(scene);
  const auto asking = [&](std::string_view what) {
    scene.session().execute(fmt::format("ALTER TABLE weir.batch_step {} TRIGGER batch_step_wake", what));
  };
  if (!crowd.ask) asking("DISABLE");
  Consumers consumers(scene, crowd.consumers);
  const double rate = scene.plain().pgbench("submit", kSubmit, kProducers, kSubmissionsEach);
  if (woken_each != nullptr && crowd.consumers > 0) {
    const double seconds = kProducers * kSubmissionsEach / rate;
    *woken_each = consumers.woken() / seconds / crowd.consumers;
  }
  consumers.stop();
  if (!crowd.ask) asking("ENABLE");
  return rate;
}

std::vector<Measurement> producers(GroupScene& scene) {
  const Crowd nobody{};
  std::vector<Measurement> results;
  const auto beside = [&](const std::string& name, const Crowd& crowd, const Crowd& other,
                          const std::string& against) {
    double woken_each = 0;
    const Pair rate = in_turn(
        kGroupRounds, [&] { return submit(scene, crowd, &woken_each); },
        [&] { return submit(scene, other); });
    results.push_back({.name = name,
                       .value = rate.ours,
                       .unit = "commits/s",
                       .ratio = rate.ours / rate.theirs,
                       .against = fmt::format("{}: {:.0f}/s", against, rate.theirs)});
    return woken_each;
  };
  const std::string alone = "nobody asleep";
  beside(fmt::format("{} producers, a batch in each commit, nobody asleep", kProducers), nobody,
         {.ask = false}, "the same without the question whether somebody sleeps");
  beside("the same, one consumer asleep that can do none of it", {.consumers = 1}, nobody, alone);
  const double woken = beside(fmt::format("the same, {} consumers asleep that can do none of it", kSpare),
                              {.consumers = kSpare}, nobody, alone);
  results.push_back({.name = "how often each of them was woken, the last time",
                     .value = woken,
                     .unit = "/s",
                     .higher_is_better = false});
  beside(fmt::format("the same, {} consumers that do it", kSpare), {.consumers = kSpare, .have_work = true},
         nobody, alone);
  return results;
}

Measurement idle_load(GroupScene& scene) {
  constexpr int kSeconds = 60;
  scene.make({"s"});
  const auto transactions = [&] {
    scene.session().execute("SELECT pg_stat_clear_snapshot()");
    return scene.session()
        .execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")[0]
        .get<std::int64_t>(0);
  };
  // The server's own workers would be counted with ours.
  const auto autovacuum = [&](std::string_view setting) {
    scene.session().execute(fmt::format("ALTER SYSTEM SET autovacuum = {}", setting));
    scene.session().execute("SELECT pg_reload_conf()");
  };
  autovacuum("off");
  Consumers consumers(scene, kSpare);
  // A session tells its counts when it has been idle for 10 s.
  std::this_thread::sleep_for(15s);
  const std::int64_t before = transactions();
  std::this_thread::sleep_for(std::chrono::seconds(kSeconds));
  const std::int64_t after = transactions();
  consumers.stop();
  autovacuum("DEFAULT");
  return {.name = fmt::format("an idle consumer, of {}, its sweeps with it", kSpare),
          .value = static_cast<double>(after - before - 2) / kSeconds / kSpare,
          .unit = "transactions/s",
          .higher_is_better = false};
}

/// Tells when it was begun.
class StartSink final : public group::Sink {
 public:
  StartSink(Wakeup& started, std::atomic<SteadyTime::rep>& at) : started_(started), at_(at) {}
  [[nodiscard]] Place place() const noexcept override { return Place::outside; }
  work::Outcome apply(const group::Batch& /*batch*/, const group::Application& /*application*/) override {
    at_ = std::chrono::steady_clock::now().time_since_epoch().count();
    started_.notify();
    return work::Outcome::done();
  }

 private:
  Wakeup& started_;
  std::atomic<SteadyTime::rep>& at_;
};

/// From a producer's statement, its commit included, to the sink, on a system that does nothing else: so long
/// that the consumer has no connection for a group any more.
std::vector<Measurement> start_latency(GroupScene& scene) {
  constexpr std::size_t kTries = 100;
  constexpr Duration kQuiet = 300ms;
  scene.make({"s"});
  Wakeup started;
  std::atomic<SteadyTime::rep> at{0};
  const auto consumer =
      scene.consumer("s", [&] { return std::make_unique<StartSink>(started, at); }, {.poll = kUntilTold});
  consumer->sleeps.enable();
  consumer->start();
  std::vector<double> milliseconds;
  Wakeup unused;
  while (milliseconds.size() < kTries) {
    if (!consumer->sleeps.wait(Deadline::after(20s)))
      throw Error(ExitCode::failed, "the consumer does not sleep");
    std::this_thread::sleep_for(kQuiet);
    const auto begin = std::chrono::steady_clock::now();
    scene.session().execute("SELECT weir.submit_batch('t', 'k', '{}', feed => 'bench')");
    if (wait_fd(started.fd(), POLLIN, Deadline::after(20s), {}, unused) != WaitEnd::ready)
      throw Error(ExitCode::failed, "the batch was not begun");
    started.drain();
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(SteadyTime(Duration(at)) - begin).count());
    // What it told before this batch is of an earlier sleep.
    while (consumer->sleeps.wait(Deadline::after(0s))) {
    }
  }
  consumer->stop();
  std::sort(milliseconds.begin(), milliseconds.end());
  const std::string name = "from a batch that is submitted to its sink, idle system";
  return {
      {.name = name + ", p50", .value = milliseconds[kTries / 2], .unit = "ms", .higher_is_better = false},
      {.name = name + ", p99",
       .value = milliseconds[kTries * 99 / 100],
       .unit = "ms",
       .higher_is_better = false}};
}

}  // namespace

/// What it costs those who submit that idle consumers are woken, and what that brings.
std::vector<Measurement> bench_group_wake(GroupScene& scene) {
  std::vector<Measurement> results = producers(scene);
  results.push_back(idle_load(scene));
  for (Measurement& each : start_latency(scene)) results.push_back(std::move(each));
  return results;
}

}  // namespace weir::bench
