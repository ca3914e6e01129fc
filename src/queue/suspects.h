#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

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
/// of them alone was worked on in it, and the server ran on. And those whose session we had to end ourselves,
/// because they ran over their queue's timeout and were not to be stopped otherwise. A transaction that is
/// undone with its session leaves no trace in the tables, so this is the memory of one process, shared by its
/// slots; another process counts for itself. Pure but for its lock.
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
    overdue,  ///< the same, because it ran over
  };
  [[nodiscard]] Standing of(std::int64_t job, int attempt) const {
    const MutexLock lock(mutex_);
    const auto found = known_.find(job);
    if (found == known_.end()) return Standing::clear;
    if (found->second.overdue == attempt) return Standing::overdue;
    if (found->second.losses == 0) return found->second.overdue ? Standing::clear : Standing::suspect;
    return found->second.losses >= kLosses ? Standing::guilty : Standing::suspect;
  }
  /// Costs next to nothing while there are none.
  [[nodiscard]] bool any() const {
    const MutexLock lock(mutex_);
    return !known_.empty();
  }

  /// A session was lost with it alone, and the server ran on.
  void lost_with(std::int64_t job) {
    const MutexLock lock(mutex_);
    ++known(job).losses;
  }
  /// The session of this attempt was ended because it alone ran over. Another process may have that written
  /// before us: of another attempt it says nothing.
  void ran_over(std::int64_t job, int attempt) {
    const MutexLock lock(mutex_);
    known(job).overdue = attempt;
  }
  /// It was among several that ran over together: from now on it is worked on alone.
  void ran_over_among_others(std::int64_t job) {
    const MutexLock lock(mutex_);
    known(job);
  }
  /// An attempt of it was counted as failed, and committed. Where it was the last one, for whatever reason,
  /// the job has ended, and whoever replays it has mended something.
  void charged(std::int64_t job, bool last) {
    const MutexLock lock(mutex_);
    const auto found = known_.find(job);
    if (found == known_.end()) return;
    Known& of_it = found->second;
    // Who ran over pays for that, and stays as suspect as he was.
    if (!std::exchange(of_it.overdue, std::nullopt)) of_it.losses = kLosses - 1;
    if (last || of_it.losses == 0) known_.erase(found);
  }
  /// It came to any other end with its session alive.
  void cleared(std::int64_t job) {
    const MutexLock lock(mutex_);
    known_.erase(job);
  }

 private:
  struct Known {
    int losses = 0;                ///< in a row
    std::optional<int> overdue{};  ///< that attempt
  };
  Known& known(std::int64_t job) WEIR_REQUIRES(mutex_) {
    if (known_.size() >= kMost && !known_.contains(job)) known_.clear();
    return known_[job];
  }

  mutable Mutex mutex_;
  std::map<std::int64_t, Known> known_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::queue
