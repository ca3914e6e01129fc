#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/wait.h"
#include "group/group_task.h"
#include "pg/connector.h"

namespace weir::group {

/// The groups in flight: a thread for each that may be, every one with a connection of its own for as long as
/// it has groups one after the other. What a group throws ends with that group.
class Slots {
 public:
  struct Settings {
    std::shared_ptr<const pg::Connector> connector;
    SinkDefinition sink;
    SinkFactory sinks;
    Ownership ownership = Ownership::lease;
    std::string owner;
    std::size_t count = 16;
  };
  /// `freed` is notified when a slot is free again.
  Slots(Settings settings, GroupCounts& counts, Wakeup& freed);
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;
  ~Slots();

  [[nodiscard]] std::size_t free() const;
  /// Those of `groups` that are not in flight here and could be had of late, as many as there are free slots.
  std::size_t dispatch(const std::vector<GroupKey>& groups);
  /// Whether one of `groups`, which could be had, is neither in flight nor left alone for a while: that one
  /// waits for a slot.
  [[nodiscard]] bool is_waiting(const std::vector<GroupKey>& groups) const;
  /// How many are in flight or left alone: a look that finds no more than these may have missed who waits.
  [[nodiscard]] std::size_t set_aside() const;
  /// Others wait: who has had several batches lets them have the slot.
  void set_crowded(bool crowded) noexcept { crowded_ = crowded; }

  /// Nothing more is begun.
  void close() { soft_.request_stop(); }
  /// What runs may go on until the deadline, and is broken off then.
  /// Who waits for the server even then, for somebody's lock, is not waited for much longer.
  void drain(Deadline deadline);

 private:
  void work(std::size_t number);
  std::optional<GroupKey> next();
  /// False: there is none within the limit, or nothing more is to be begun.
  bool wait_for_group(std::optional<Duration> limit);
  void done(const GroupKey& group);
  std::optional<GroupConnection> serve(GroupConnection connection, const GroupKey& group,
                                       const std::string& owner, GroupTask& task);
  void rest(int failures);
  /// It is left alone for a while, longer each time.
  void shun(const GroupKey& group);
  void give_up(const GroupKey& group, const std::string& owner, const std::optional<BatchTry>& at,
               std::string_view reason) noexcept;

  const Settings settings_;
  GroupCounts& counts_;
  Wakeup& freed_;
  std::stop_source soft_;
  std::stop_source hard_;
  std::stop_source last_;  // for the status, which is told after all that
  std::atomic<bool> crowded_{false};
  std::atomic<std::uint64_t> turns_{0};

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  std::set<GroupKey> in_flight_ WEIR_GUARDED_BY(mutex_);
  struct Shunned {
    SteadyTime until;
    int failures = 0;
    int skips = 0;
  };
  [[nodiscard]] bool is_shunned(const GroupKey& group, SteadyTime now) const WEIR_REQUIRES(mutex_);
  std::map<GroupKey, Shunned> shunned_ WEIR_GUARDED_BY(mutex_);
  std::vector<GroupKey> dispatched_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::jthread> threads_;  // last: they use the others
};

}  // namespace weir::group
