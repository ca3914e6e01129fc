#include "queue/queue_counts.h"

#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "schema/queries/jobs.h"

namespace weir::queue {
namespace {

constexpr Duration kWindow = std::chrono::seconds(5);

}  // namespace

void QueueCounts::add(std::int32_t queue, const Counts& more, const Times& times) {
  const MutexLock lock(mutex_);
  Counts& counts = counts_[queue];
  counts.done += more.done;
  counts.failed += more.failed;
  counts.dead += more.dead;
  counts.running += more.running;
  if (times.runs.steps().empty()) return;
  Late& late = late_[queue];
  late.roll(steady_now());
  late.now.add(times);
}

std::map<std::int32_t, QueueCounts::Counts> QueueCounts::all() const {
  const MutexLock lock(mutex_);
  return counts_;
}

void QueueCounts::Late::roll(SteadyTime at) {
  if (at - since < kWindow) return;
  before = at - since < 2 * kWindow ? std::exchange(now, {}) : Times();
  now = {};
  since = at;
}

std::pair<std::string, std::string> QueueCounts::Late::arrays() {
  roll(steady_now());
  Times all = before;
  all.add(now);
  const auto sql = [](const Durations& durations) {
    return fmt::format("{{{}}}", fmt::join(durations.steps(), ","));
  };
  return {sql(all.waits), sql(all.runs)};
}

void QueueCounts::report(pg::Session& session, std::int64_t process) {
  std::vector<std::int32_t> queues;
  std::vector<std::int64_t> done;
  std::vector<std::int64_t> failed;
  std::vector<std::int64_t> dead;
  std::vector<std::int64_t> running;
  std::vector<std::string> waits;
  std::vector<std::string> runs;
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
      auto [waited, ran] = late_[queue].arrays();
      waits.push_back(std::move(waited));
      runs.push_back(std::move(ran));
    }
  }
  if (queues.empty()) return;
  session.run<sql::ReportQueueStats>(process, queues, done, failed, dead, running,
                                     std::vector<std::string_view>(waits.begin(), waits.end()),
                                     std::vector<std::string_view>(runs.begin(), runs.end()));
  const MutexLock lock(mutex_);
  reported_ = now;
}

}  // namespace weir::queue
