#include "queue/queue_counts.h"

#include <utility>
#include <vector>

#include "schema/queries/jobs.h"

namespace weir::queue {

void QueueCounts::add(std::int32_t queue, const Counts& more) {
  const MutexLock lock(mutex_);
  Counts& counts = counts_[queue];
  counts.done += more.done;
  counts.failed += more.failed;
  counts.dead += more.dead;
  counts.running += more.running;
}

std::map<std::int32_t, QueueCounts::Counts> QueueCounts::all() const {
  const MutexLock lock(mutex_);
  return counts_;
}

void QueueCounts::report(pg::Session& session, std::int64_t process) {
  std::vector<std::int32_t> queues;
  std::vector<std::int64_t> done;
  std::vector<std::int64_t> failed;
  std::vector<std::int64_t> dead;
  std::vector<std::int64_t> running;
  const auto now = all();
  {
    const MutexLock lock(mutex_);
    // A new life begins at zero on the server; what was counted before stays with the old one.
    if (std::exchange(reported_as_, process) != process) before_ = reported_;
    for (const auto& [queue, counts] : now) {
      const auto last = reported_.find(queue);
      if (last != reported_.end() && last->second == counts) continue;
      const Counts& before = before_[queue];
      queues.push_back(queue);
      done.push_back(counts.done - before.done);
      failed.push_back(counts.failed - before.failed);
      dead.push_back(counts.dead - before.dead);
      running.push_back(counts.running);
    }
  }
  if (queues.empty()) return;
  session.run<sql::ReportQueueStats>(process, queues, done, failed, dead, running);
  const MutexLock lock(mutex_);
  reported_ = now;
}

}  // namespace weir::queue
