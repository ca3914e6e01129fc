#include "queue/job_source.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "queue/marked_claim.h"
#include "schema/queries/jobs.h"
#include "work/process.h"

namespace weir::queue {
namespace {

/// A worker of more queues than this sleeps for all there are: a lock for each would be too much.
constexpr std::size_t kMostTopics = 8;
constexpr std::size_t kMostAskedOneByOne = 4;
/// Hints where to look first; more are as good as none.
constexpr std::size_t kMostHeard = 64;

}  // namespace

JobSource::JobSource(std::vector<std::string> queues, pg::Session& session) : names_(std::move(queues)) {
  for (const std::string& name : names_) session.run<sql::MakeQueue>(name);
  reload(session);
  try {
    // Before the first outcome: nobody may have worked for longer than the partitions were made ahead.
    keep_history(session);
  } catch (const pg::Error& error) {
    if (error.kind() == pg::ErrorKind::connect || !session.is_open()) throw;
    log::warn("history could not be made ahead; it is tried again", {{"error", error.what()}});
  }
}

void JobSource::reload(pg::Session& session) {
  const std::vector<std::string_view> names(names_.begin(), names_.end());
  auto loaded = std::make_shared<Settings>();
  const auto rows = session.run<sql::QueueSettings>(names);
  for (const auto& row : rows) loaded->push_back(to_queue_settings(row));
  const MutexLock lock(mutex_);
  settings_ = std::move(loaded);
}

std::shared_ptr<const JobSource::Settings> JobSource::settings() const {
  const MutexLock lock(mutex_);
  return settings_;
}

std::vector<std::int32_t> JobSource::ids(bool also_limited) const {
  const auto queues = settings();
  std::vector<std::int32_t> ids;
  for (const auto& queue : *queues) {
    if (also_limited || !queue->limited) ids.push_back(queue->id);
  }
  return ids;
}

bool JobSource::works_on(std::int32_t queue) const {
  if (names_.empty()) return true;
  const auto queues = ids();
  return std::find(queues.begin(), queues.end(), queue) != queues.end();
}

std::vector<std::string> JobSource::topics() const {
  const auto queues = settings();
  if (names_.empty() || queues->size() > kMostTopics) return {"job:*"};
  std::vector<std::string> topics;
  for (const auto& queue : *queues) topics.push_back(queue->topic());
  return topics;
}

// Claiming

std::shared_ptr<work::Claim> JobSource::claim(pg::Session& session, const work::Life& life,
                                              std::size_t wanted, bool thorough) {
  return looking(session, thorough, [&] { return claim_any(session, life, *settings(), wanted, thorough); });
}

template <class Look>
std::shared_ptr<JobClaim> JobSource::looking(pg::Session& session, bool thorough, Look&& look) {
  // There may be a queue that we do not know yet, or one whose limits are others now: what is looked for
  // before a sleep is looked for everywhere.
  if (thorough) reload(session);
  if (auto claim = look()) return claim;
  if (thorough || !reload_is_due()) return nullptr;
  reload(session);
  return look();
}

bool JobSource::reload_is_due() {
  const SteadyTime now = std::chrono::steady_clock::now();
  const MutexLock lock(mutex_);
  if (now < reload_due_) return false;
  reload_due_ = now + (names_.empty() ? std::chrono::milliseconds(200) : std::chrono::seconds(5));
  return true;
}

JobSource::Busy JobSource::look_for_busy(pg::Session& session, const Settings& queues) {
  if (queues.size() <= kMostAskedOneByOne) return std::nullopt;
  std::vector<std::int32_t> ids;
  ids.reserve(queues.size());
  for (const auto& queue : queues) ids.push_back(queue->id);
  std::set<std::int32_t> busy;
  for (const auto& row : session.run<sql::QueuesWithJobs>(kLane, ids)) busy.insert(row.id);
  return busy;
}

void JobSource::hear(std::string_view topic) {
  const MutexLock lock(mutex_);
  if (heard_.size() < kMostHeard) heard_.emplace(topic);
}

std::shared_ptr<const QueueSettings> JobSource::next_heard(const Settings& queues) {
  if (queues.size() <= kMostAskedOneByOne) return nullptr;
  const MutexLock lock(mutex_);
  while (!heard_.empty()) {
    const std::string topic = std::move(heard_.extract(heard_.begin()).value());
    const auto found = std::find_if(queues.begin(), queues.end(),
                                    [&](const auto& queue) { return queue->topic() == topic; });
    if (found != queues.end()) return *found;
  }
  return nullptr;
}

template <class Ask>
std::shared_ptr<JobClaim> JobSource::ask(pg::Session& session, const Settings& queues, std::size_t& turn,
                                         Ask&& ask) {
  while (const auto heard = next_heard(queues)) {
    if (auto claim = ask(heard)) return claim;
  }
  const Busy busy = look_for_busy(session, queues);
  for (std::size_t i = 0; i < queues.size(); ++i) {
    // In turns: a full queue does not starve the next one.
    const auto& queue = queues[(turn + i) % queues.size()];
    if (busy && !busy->contains(queue->id)) continue;
    if (auto claim = ask(queue)) {
      turn = (turn + i + 1) % queues.size();
      return claim;
    }
  }
  return nullptr;
}

std::shared_ptr<JobClaim> JobSource::claim_any(pg::Session& session, const work::Life& life,
                                               const Settings& queues, std::size_t wanted, bool thorough) {
  withheld_.clear();
  return ask(session, queues, turn_, [&](const std::shared_ptr<const QueueSettings>& queue) {
    auto claim = claim_from(session, life, queue, wanted, thorough);
    if (claim) counts_.add(queue->id, {.running = static_cast<std::int64_t>(claim->items().size())});
    return claim;
  });
}

std::shared_ptr<JobClaim> JobSource::claim_from(pg::Session& session, const work::Life& life,
                                                const std::shared_ptr<const QueueSettings>& queue,
                                                std::size_t wanted, bool thorough) {
  const auto count = static_cast<std::int64_t>(wanted);
  const std::int64_t number = ++claims_;
  if (queue->limited) {
    const SteadyTime asked = steady_now();
    auto rows = session.run<sql::ClaimLimitedJobs>(life.id(), number, kLane, queue->id,
                                                   static_cast<std::int32_t>(count));
    if (!rows.empty()) return std::make_shared<JobClaim>(number, asked, std::move(rows), queue);
    // Asked after the claim: what comes now finds us asleep and wakes us.
    const auto waiting = session.run<sql::QueueHasJobs>(kLane, queue->id);
    if (waiting.one().any) withheld_.insert(queue->id);
    return nullptr;
  }
  return claim_with_marks(
      marks_[queue->id], wanted, thorough, number, queue, [&](const ClaimMarks::Range& range) {
        return session.run<sql::ClaimJobs>(life.id(), number, kLane, queue->id, range.priority, range.above,
                                           range.last_priority, count);
      });
}

std::shared_ptr<JobClaim> JobSource::take(pg::Session& session, Turns& turns, std::size_t wanted,
                                          bool thorough) {
  return looking(session, thorough, [&] { return take_any(session, turns, wanted, thorough); });
}

std::shared_ptr<JobClaim> JobSource::take_any(pg::Session& session, Turns& turns, std::size_t wanted,
                                              bool thorough) {
  const auto count = static_cast<std::int64_t>(wanted);
  return ask(session, *settings(), turns.turn, [&](const std::shared_ptr<const QueueSettings>& queue) {
    return claim_with_marks(turns.marks[queue->id], wanted, thorough, ++turns.taken, queue,
                            [&](const ClaimMarks::Range& range) {
                              return session.run<sql::TakeJobs>(kLane, queue->id, range.priority, range.above,
                                                                range.last_priority, count);
                            });
  });
}

void JobSource::resolve(pg::Session& session, const work::Life& life) {
  session.run<sql::ReturnClaim>(life.id(), claims_);
  for (auto& [queue, marks] : marks_) marks.forget();
}

std::optional<Duration> JobSource::next_look() const {
  std::optional<Duration> soonest;
  const auto queues = settings();
  for (const auto& queue : *queues) {
    if (!withheld_.contains(queue->id)) continue;
    // A place may come free by another process's work, of which nobody tells us.
    Duration look = std::chrono::seconds(1);
    if (queue->rate) look = std::clamp<Duration>(*queue->rate, std::chrono::milliseconds(10), look);
    soonest = std::min(soonest.value_or(look), look);
  }
  return soonest;
}

std::set<std::string> JobSource::limited() const {
  std::set<std::string> names;
  const auto queues = settings();
  for (const auto& queue : *queues) {
    if (queue->limited) names.insert(queue->name);
  }
  return names;
}

void JobSource::tell_what_is_left_out() {
  // A limit may be set, or taken off, while we work.
  auto limited = this->limited();
  for (const std::string& queue : limited) {
    if (left_out_.contains(queue)) continue;
    log::warn(
        "a queue has a limit now and is not worked on in transactional mode, because its slots are counted "
        "by "
        "leases: take the limit off (weir queue set), or work on it in leased mode",
        {{"queue", queue}});
  }
  for (const std::string& queue : left_out_) {
    if (!limited.contains(queue))
      log::info("a queue has no limit any more and is worked on", {{"queue", queue}});
  }
  left_out_ = std::move(limited);
}

bool JobSource::has_more(pg::Session& session) {
  const auto rows = session.run<sql::QueueHasMore>(kLane, ids());
  return rows.one().more;
}

bool JobSource::has_more_to_take(pg::Session& session) {
  const auto rows = session.run<sql::QueueHasMore>(kLane, ids(false));
  return rows.one().more;
}

}  // namespace weir::queue
