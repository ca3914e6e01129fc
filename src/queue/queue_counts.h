#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "pg/session.h"
#include "queue/durations.h"

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

  struct Times {
    Durations waits;  ///< from a job's enqueueing to its begin
    Durations runs;   ///< from there to the end of its batch
    void add(const Times& more) {
      waits.add(more.waits);
      runs.add(more.runs);
    }
  };

  void add(std::int32_t queue, const Counts& more, const Times& times = {});
  [[nodiscard]] std::map<std::int32_t, Counts> all() const;
  /// Writes those that changed since the last time, with the times of five to ten seconds.
  void report(pg::Session& session, std::int64_t process);

 private:
  /// The times of the last five to ten seconds.
  struct Late {
    Times now;
    Times before;  ///< of the five seconds before these
    SteadyTime since = steady_now();
    void roll(SteadyTime at);
    /// Waits and runs, as arrays of SQL.
    [[nodiscard]] std::pair<std::string, std::string> arrays();
  };

  mutable Mutex mutex_;
  std::map<std::int32_t, Late> late_ WEIR_GUARDED_BY(mutex_);
  std::map<std::int32_t, Counts> counts_ WEIR_GUARDED_BY(mutex_);
  std::map<std::int32_t, Counts> reported_ WEIR_GUARDED_BY(mutex_);  ///< as counted, whatever the life
  /// What earlier lives have reported: it stays in their rows.
  std::map<std::int32_t, Counts> before_ WEIR_GUARDED_BY(mutex_);
  std::int64_t reported_as_ WEIR_GUARDED_BY(mutex_) = 0;
};

}  // namespace weir::queue
