#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/histogram.h"
#include "pg/connector.h"
#include "pg/lease.h"

namespace weir::pg {

/// What a pool is doing; `max` is size + overflow.
struct PoolStats {
  std::size_t connecting = 0;
  std::size_t active = 0;
  std::size_t idle = 0;
  std::size_t max = 0;
  std::size_t waiting = 0;
  std::uint64_t leased = 0;  ///< leases given since the start
  std::uint64_t opened = 0;  ///< sessions opened
  std::uint64_t discarded =
      0;  ///< sessions closed on return: broken, dirty beyond cleaning, too old, overflow
  std::uint64_t exhausted = 0;  ///< times that nothing came free in time
};

struct PoolOptions {
  std::string name;  ///< for messages and metrics
  Role role = Role::api;
  std::size_t size = 4;      ///< sessions that are kept
  std::size_t overflow = 0;  ///< sessions beyond them that are closed on return
  std::size_t max_waiters = 64;
  Duration wait = std::chrono::seconds(5);        ///< the longest wait for a free session
  Duration max_lifetime = std::chrono::hours(1);  ///< an older session is replaced when it comes back
  const Clock* clock = &Clock::system();
};

/// Sessions to borrow, for any thread. At most size + overflow exist at a time; who finds none free waits in
/// line. A lease may outlive the pool: its session is then closed on return.
class Pool {
 public:
  Pool(std::shared_ptr<const Connector> connector, PoolOptions options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// A session for the calling thread. Throws an Error of kind exhausted, with the figures, when none comes
  /// free in time or too many wait already; Cancelled on stop; what connecting threw, when a new one was
  /// needed and failed.
  [[nodiscard]] Lease lease(const Limit& limit = {});

  /// Closes the idle sessions; those on lease are closed on return.
  void close_all() noexcept;

  [[nodiscard]] PoolStats stats() const;
  /// How long callers of lease() waited, connecting included.
  [[nodiscard]] const Histogram& waits() const noexcept;

 private:
  std::shared_ptr<PoolCore> core_;
};

}  // namespace weir::pg
