#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"

namespace weir::queue {

/// What is known of the end of a session in the midst of jobs.
struct SessionEnd {
  std::size_t jobs = 0;       ///< that were being worked on in its transaction
  std::string_view sqlstate;  ///< of the server's last words; empty: it said nothing
};

/// Whether that casts suspicion on a job. Pure. Not where several could have done it, nor where the server
/// says that another of its processes crashed (57P02): not even where that was a parallel worker of this very
/// job, for nothing tells it from a neighbour's crash. What else ended is asked of the next session.
constexpr bool is_suspicious(const SessionEnd& end) noexcept {
  return end.jobs == 1 && end.sqlstate != "57P02";
}

/// Which server a session is of, and in which of our lives (work::Life).
struct SessionOrigin {
  WallTime server_started_at{};  ///< by its own clock; a standby that was promoted started at another time
  std::int64_t life = 0;
  bool life_is_held = false;  ///< nobody has declared us dead
};

/// Whether a session that was lost ended by itself, as the next one tells. Pure. Not where the server is
/// another one now; nor where somebody hung up (57P01) on who was declared dead, a worker that froze, say. A
/// process that crashed says nothing, and its server may recover for longer than our lease.
constexpr bool ended_by_itself(std::string_view sqlstate, const SessionOrigin& before,
                               const SessionOrigin& now) noexcept {
  if (before.server_started_at != now.server_started_at) return false;
  return sqlstate != "57P01" || (before.life == now.life && now.life_is_held);
}

/// Jobs of transactional mode whose SQL may end the server's process: each time a session was lost while one
/// of them alone was worked on in it, and the server ran on. A transaction that is undone with its session
/// leaves no trace in the tables, so this is the memory of one process, shared by its slots; another process
/// counts for itself. Pure but for its lock.
class Suspects {
 public:
  /// So often in a row, before an attempt is used up: a network that is cut hits a job by chance once. After
  /// that one loss more is an attempt more.
  static constexpr int kLosses = 3;
  /// More than that are not kept in mind: it is not the jobs then.
  static constexpr std::size_t kMost = 1000;

  enum class Standing {
    clear,
    suspect,  ///< to be worked on alone
    guilty,   ///< its attempt has failed; it is not to be begun
  };
  [[nodiscard]] Standing of(std::int64_t job) const {
    const MutexLock lock(mutex_);
    const auto found = losses_.find(job);
    if (found == losses_.end()) return Standing::clear;
    return found->second >= kLosses ? Standing::guilty : Standing::suspect;
  }
  /// Costs next to nothing while there are none.
  [[nodiscard]] bool any() const {
    const MutexLock lock(mutex_);
    return !losses_.empty();
  }

  /// A session was lost with it alone, and the server ran on.
  void lost_with(std::int64_t job) {
    const MutexLock lock(mutex_);
    if (losses_.size() >= kMost && !losses_.contains(job)) losses_.clear();
    ++losses_[job];
  }
  /// An attempt of it was counted as failed, and committed. After the last one it is dead, and whoever
  /// replays it has mended something.
  void charged(std::int64_t job, bool last) {
    const MutexLock lock(mutex_);
    const auto found = losses_.find(job);
    if (found == losses_.end()) return;
    if (last) {
      losses_.erase(found);
    } else {
      found->second = kLosses - 1;
    }
  }
  /// It came to any other end with its session alive.
  void cleared(std::int64_t job) {
    const MutexLock lock(mutex_);
    losses_.erase(job);
  }

 private:
  mutable Mutex mutex_;
  std::map<std::int64_t, int> losses_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::queue
