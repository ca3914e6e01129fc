#pragma once

#include <condition_variable>
#include <list>
#include <vector>

#include "base/mutex.h"
#include "pg/pool.h"

namespace weir::pg {

/// What a Pool and its leases share. Leases hold it alive, so a lease may come back after its pool has gone.
class PoolCore : public std::enable_shared_from_this<PoolCore> {
 public:
  PoolCore(std::shared_ptr<const Connector> connector, PoolOptions options);

  Lease lease(const Limit& limit);
  /// Called by ~Lease, in the thread that had the session.
  void take_back(Session session, SessionAge age, bool dirty) noexcept;
  void close_all() noexcept;
  /// From now on returned sessions are closed, and nobody gets a new one.
  void shut() noexcept;

  [[nodiscard]] PoolStats stats() const;
  [[nodiscard]] const Histogram& waits() const noexcept { return waits_; }

 private:
  struct Idle {
    Session session;
    SessionAge age;
  };
  /// A caller in line. It leaves the line when it is given a session or the right to open one, or the pool
  /// shuts.
  struct Waiter {
    std::optional<Idle> session;
    bool may_connect = false;
    bool pool_is_shut = false;
  };

  /// A session, or nothing where the caller may open one. Either is counted already.
  std::optional<Idle> wait_for_turn(const Limit& limit);
  Lease connect(const Limit& limit);
  Lease hand_out(Idle taken);
  [[nodiscard]] bool is_worth_keeping(const Session& session, SessionAge age) const WEIR_REQUIRES(mutex_);
  void clean(Session& session) noexcept;
  /// Passes on what has come free: a session, or the room for one.
  void pass_on(std::optional<Idle> freed) noexcept WEIR_REQUIRES(mutex_);
  [[nodiscard]] std::size_t in_existence() const WEIR_REQUIRES(mutex_);
  [[nodiscard]] PoolStats figures() const WEIR_REQUIRES(mutex_);
  [[noreturn]] void raise_shut() const;
  [[noreturn]] void exhausted(std::string_view why) WEIR_REQUIRES(mutex_);

  const std::shared_ptr<const Connector> connector_;
  const PoolOptions options_;
  Histogram waits_;

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Idle> idle_ WEIR_GUARDED_BY(mutex_);
  std::list<Waiter*> line_ WEIR_GUARDED_BY(mutex_);
  std::size_t connecting_ WEIR_GUARDED_BY(mutex_) = 0;
  std::size_t active_ WEIR_GUARDED_BY(mutex_) = 0;
  std::uint64_t generation_ WEIR_GUARDED_BY(mutex_) = 0;
  bool shut_ WEIR_GUARDED_BY(mutex_) = false;
  PoolStats counters_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::pg
