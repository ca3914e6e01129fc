#pragma once

#include <cstdint>
#include <map>

#include "base/clock.h"
#include "base/mutex.h"
#include "pg/session.h"

namespace weir::queue {

/// What this process has done, by queue; its row of weir.queue_stats. Any thread may count.
class QueueCounts {
 public:
  struct Counts {
    std::int64_t done = 0;
    std::int64_t failed = 0;  ///< attempts that did not end well, dead ones included
    std::int64_t dead = 0;
    std::int64_t running = 0;
    friend bool operator==(const Counts&, const Counts&) = default;
  };

  void add(std::int32_t queue, const Counts& more);
  [[nodiscard]] std::map<std::int32_t, Counts> all() const;
  /// Writes those that changed since the last time.
  void report(pg::Session& session, std::int64_t process);

 private:
  mutable Mutex mutex_;
  std::map<std::int32_t, Counts> counts_ WEIR_GUARDED_BY(mutex_);
  std::map<std::int32_t, Counts> reported_ WEIR_GUARDED_BY(mutex_);  ///< as counted, whatever the life
  /// What earlier lives have reported: it stays in their rows.
  std::map<std::int32_t, Counts> before_ WEIR_GUARDED_BY(mutex_);
  std::int64_t reported_as_ WEIR_GUARDED_BY(mutex_) = 0;
};

}  // namespace weir::queue
