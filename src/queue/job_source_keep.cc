#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "queue/job_source.h"
#include "schema/queries/jobs.h"
#include "work/process.h"

// What is done beside the claims: rescue, what becomes due, history. models/lease.pml: `Rescuer`, `Promoter`.

namespace weir::queue {

std::vector<std::int64_t> JobSource::cancelled(pg::Session& session, const work::Life& life) {
  std::vector<std::int64_t> ids;
  for (const auto& row : session.run<sql::CancelRequests>(life.id())) ids.push_back(row.job_id);
  const MutexLock lock(mutex_);
  cancelled_ = {ids.begin(), ids.end()};
  return ids;
}

void JobSource::rescue(pg::Session& session) {
  constexpr std::int32_t kClaimsAtOnce = 100;
  for (;;) {
    pg::Transaction transaction(session);
    const auto rows = session.run<sql::RescueJobs>(kClaimsAtOnce);
    const bool any = rows.one().rescued > 0;
    std::vector<std::pair<std::int32_t, std::int64_t>> dead;
    if (any) {
      for (const auto& row : session.run<sql::RescuedDead>()) dead.emplace_back(row.queue, row.dead);
    }
    transaction.commit();
    // Whose attempt it was cannot count it any more.
    for (const auto& [queue, jobs] : dead) counts_.add(queue, {.failed = jobs, .dead = jobs});
    if (!any) return;
  }
}

Duration JobSource::keep(pg::Session& session, const work::Life& life) {
  Duration next = kKeepInterval;
  promote(session, next);
  counts_.report(session, life.id());
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now >= seldom_due_) {
    reload(session);
    seldom_due_ = now + std::chrono::seconds(30);
    clean_up(session);
  }
  forget(session);
  return next;
}

void JobSource::promote(pg::Session& session, Duration& next) {
  constexpr std::int32_t kMost = 1000;
  for (;;) {
    const auto rows = session.run<sql::PromoteJobs>(kMost);
    const auto row = rows.one();
    if (row.promoted == kMost) continue;
    if (row.next_ms)
      next = std::min<Duration>(next, std::chrono::milliseconds(*row.next_ms) + std::chrono::milliseconds(1));
    return;
  }
}

void JobSource::keep_history(pg::Session& session) {
  pg::Transaction transaction(session);
  transaction.set_local("lock_timeout", "200ms");
  session.run<sql::KeepJobHistory>();
  transaction.commit();
}

void JobSource::clean_up(pg::Session& session) {
  session.run<sql::FoldQueueStats>();
  session.run<sql::ForgetLateCancels>();
  session.run<sql::ForgetLostSlots>();
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now < hourly_due_) return;
  hourly_due_ = now + std::chrono::hours(1);
  session.run<sql::ForgetOldKeys>();
  keep_history(session);
  forgets_done_ = forgets_dead_ = true;
}

void JobSource::forget(pg::Session& session) {
  constexpr std::int64_t kMostDone = 10'000;
  constexpr std::int64_t kMostDead = 1000;
  // A part each round until all is gone: what is due must not wait for it. Each statement is a transaction of
  // its own, so that whoever wants one of these rows does not wait for long.
  const SteadyTime until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while ((forgets_done_ || forgets_dead_) && std::chrono::steady_clock::now() < until) {
    if (forgets_done_) {
      const auto rows = session.run<sql::ForgetOldJobs>(kMostDone);
      forgets_done_ = rows.one().forgotten == kMostDone;
    }
    if (forgets_dead_) {
      const auto rows = session.run<sql::ForgetDeadJobs>(kMostDead);
      forgets_dead_ = rows.one().forgotten == kMostDead;
    }
  }
}

}  // namespace weir::queue
