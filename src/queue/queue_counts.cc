#include "queue/queue_counts.h"

#include <vector>

#include "schema/queries.h"

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
    if (reported_as_ != process) reported_.clear();
    for (const auto& [queue, counts] : now) {
      const auto before = reported_.find(queue);
      if (before != reported_.end() && before->second == counts) continue;
      queues.push_back(queue);
      done.push_back(counts.done);
      failed.push_back(counts.failed);
      dead.push_back(counts.dead);
      running.push_back(counts.running);
    }
  }
  if (queues.empty()) return;
  session.run<sql::ReportQueueStats>(process, queues, done, failed, dead, running);
  const MutexLock lock(mutex_);
  reported_ = now;
  reported_as_ = process;
}

}  // namespace weir::queue
