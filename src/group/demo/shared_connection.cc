// What this consumer must not be: one connection for everything that it does, with a mutex, so that not even
// a rule of libpq is broken. The SQL is Weir's own, and each statement is right.

#include <atomic>
#include <condition_variable>
#include <optional>
#include <set>
#include <stop_token>
#include <thread>

#include <fmt/format.h>

#include "base/log.h"
#include "base/mutex.h"
#include "base/wait.h"
#include "group/demo/stage.h"
#include "group/group_key.h"
#include "pg/error.h"
#include "pg/pinned_session.h"
#include "schema/queries/groups.h"

namespace weir::group::demo {
namespace {

constexpr Duration kPoll = std::chrono::milliseconds(100);

/// One statement at a time, whoever it is from.
class SharedConnection {
 public:
  explicit SharedConnection(const pg::Connector& connector, const std::stop_token& stop)
      : session_(pg::PinnedSession::open(connector, pg::Role::group, "demo", {.stop = stop})) {
    session_.use([&](pg::Session& session) { session.set_stop(stop); });
  }

  template <class Work>
  decltype(auto) use(Work&& work) {
    const MutexLock lock(mutex_);
    session_.hand_over();
    return session_.use(std::forward<Work>(work));
  }

 private:
  Mutex mutex_;
  pg::PinnedSession session_ WEIR_GUARDED_BY(mutex_);
};

/// A group with its lease.
struct Held {
  std::string key;
  std::string owner;
};

class SharedConsumer {
 public:
  SharedConsumer(const Stage& stage, const SinkDefinition& sink)
      : options_(stage.options()), sink_(sink), connection_(*stage.connector(), stop_.get_token()) {
    for (int i = 0; i < options_.groups; ++i) {
      slots_.emplace_back(std::make_unique<Slot>());
      threads_.emplace_back([this, slot = slots_.back().get()] { guard([&] { work(*slot); }); });
      threads_.emplace_back([this, slot = slots_.back().get()] { guard([&] { beat(*slot); }); });
    }
    threads_.emplace_back([this] { guard([&] { poll(); }); });
  }
  SharedConsumer(const SharedConsumer&) = delete;
  SharedConsumer& operator=(const SharedConsumer&) = delete;
  ~SharedConsumer() { stop_.request_stop(); }

  [[nodiscard]] std::int64_t refused() const noexcept { return refused_; }

 private:
  struct Slot {
    Mutex mutex;
    std::optional<Held> held WEIR_GUARDED_BY(mutex);
  };

  /// What a task throws ends with it, as in the design that is shown; the end of the demo is no failure.
  template <class Work>
  void guard(Work&& work) noexcept {
    try {
      work();
    } catch (const std::exception& error) {
      if (!stopped()) log::warn("a task of the demo has ended", {{"error", error.what()}});
    }
  }
  [[nodiscard]] bool stopped() const noexcept { return stop_.stop_requested(); }
  /// False: it is time to end.
  [[nodiscard]] bool pause(Duration span) const {
    Wakeup unused;
    return wait_fd(-1, 0, Deadline::after(span), stop_.get_token(), unused) != WaitEnd::stopped;
  }

  /// The poll loop.
  void poll() {
    do {
      const auto groups = connection_.use([&](pg::Session& session) {
        std::vector<std::string> found;
        for (const auto& row :
             session.run<sql::ReadyGroups>(sink_.id, std::string(), options_.groups, 16, 100,
                                           std::vector<std::string_view>(), std::vector<std::string_view>()))
          if (row.key) found.emplace_back(*row.key);
        return found;
      });
      const MutexLock lock(mutex_);
      for (const std::string& key : groups)
        if (in_flight_.insert(key).second) dispatched_.push_back(key);
      changed_.notify_all();
    } while (pause(kPoll));
  }

  /// Renews the lease of the slot's group, three times within it.
  void beat(Slot& slot) {
    while (pause(sink_.lease / 3)) {
      std::optional<Held> held;
      {
        const MutexLock lock(slot.mutex);
        held = slot.held;
      }
      if (!held) continue;
      connection_.use([&](pg::Session& session) {
        session.run<sql::RenewGroup>(sink_.id, kTenant, held->key, held->owner, sink_.lease_ms());
      });
    }
  }

  void work(Slot& slot) {
    while (auto key = next()) {
      const Held held{*key, fmt::format("demo#{}", ++turns_)};
      const bool taken = connection_.use([&](pg::Session& session) {
        const auto rows = session.run<sql::TakeGroup>(sink_.id, kTenant, held.key, held.owner, std::nullopt,
                                                      std::nullopt, sink_.lease_ms());
        return rows.one().taken;
      });
      if (taken) {
        set(slot, held);
        while (!stopped() && apply_next(held)) {
        }
        set(slot, std::nullopt);
        connection_.use([&](pg::Session& session) {
          session.run<sql::ReleaseGroup>(sink_.id, kTenant, held.key, held.owner, std::nullopt, std::nullopt);
        });
      }
      const MutexLock lock(mutex_);
      in_flight_.erase(held.key);
    }
  }

  /// False: there is none, or the group is not ours any more.
  bool apply_next(const Held& held) {
    struct Begun {
      std::int64_t run_id;
      std::int32_t idx;
    };
    const auto begun = connection_.use([&](pg::Session& session) -> std::optional<Begun> {
      const auto rows = session.run<sql::BeginBatch>(sink_.id, kTenant, held.key, held.owner,
                                                     sink_.lease_ms(), sink_.max_attempts, true);
      const auto row = rows.one();
      if (row.state != "begun") return std::nullopt;
      return Begun{*row.run_id, *row.idx};
    });
    if (!begun || !pause(options_.work)) return false;
    connection_.use([&](pg::Session& session) {
      session.execute(kEffect, sink_.id, begun->run_id, begun->idx, held.key);
    });
    const bool accepted = connection_.use([&](pg::Session& session) {
      const auto rows = session.run<sql::EndBatch>(sink_.id, kTenant, held.key, held.owner, sink_.lease_ms(),
                                                   "succeeded", std::nullopt, std::nullopt);
      return rows.one().accepted;
    });
    if (!accepted) ++refused_;
    return accepted;
  }

  static void set(Slot& slot, std::optional<Held> held) {
    const MutexLock lock(slot.mutex);
    slot.held = std::move(held);
  }
  std::optional<std::string> next() {
    MutexLock lock(mutex_);
    const bool more =
        changed_.wait(lock, stop_.get_token(), [&]() WEIR_REQUIRES(mutex_) { return !dispatched_.empty(); });
    if (!more) return std::nullopt;
    std::string key = std::move(dispatched_.back());
    dispatched_.pop_back();
    return key;
  }

  static constexpr std::string_view kTenant = "demo";

  const GroupsDemoOptions& options_;
  const SinkDefinition sink_;
  std::stop_source stop_;
  SharedConnection connection_;
  std::atomic<std::int64_t> turns_{0};
  std::atomic<std::int64_t> refused_{0};
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::set<std::string> in_flight_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::string> dispatched_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::jthread> threads_;  // last: they use the others
};

/// Takes groups from owners that say nothing, on a connection of its own, as any other process of a fleet
/// would.
class Sweep {
 public:
  Sweep(const Stage& stage, const SinkDefinition& sink)
      : thread_([&stage, sink](const std::stop_token& stop) { sweep(stage, sink, stop); }) {}

 private:
  static void sweep(const Stage& stage, const SinkDefinition& sink, const std::stop_token& stop) {
    try {
      pg::Session session = stage.connector()->connect(pg::Role::recovery, "demo", {.stop = stop});
      session.set_stop(stop);
      Wakeup unused;
      do {
        session.run<sql::RecoverGroups>(sink.id, lock_space(sink.id), sink.max_attempts, std::int64_t{100});
      } while (wait_fd(-1, 0, Deadline::after(sink.lease / 3), stop, unused) != WaitEnd::stopped);
    } catch (const pg::Error&) {
      // The demo was stopped, or meets the same by itself.
    }
  }

  std::jthread thread_;
};

}  // namespace

void show_shared_connection(Stage& stage, std::vector<GroupsDemoWay>& ways) {
  stage.options().on_step(
      fmt::format("{} groups, their heartbeats and the poll loop on one connection", stage.options().groups));
  const SinkDefinition sink = stage.make_feed("shared");
  ways.push_back({.name = "one connection for all"});
  // The fleet's sweep, which is some other process's: it sees what is silent.
  const Sweep sweep(stage, sink);
  SharedConsumer consumer(stage, sink);
  stage.watch(sink, ways);
  stage.read(sink, ways.back());
  ways.back().refused = consumer.refused();
  stage.options().on_frame(ways);
}

}  // namespace weir::group::demo
