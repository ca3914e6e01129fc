#include "queue/job_source.h"

#include <algorithm>
#include <cstdlib>
#include <deque>

#include "base/log.h"
#include "base/text.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "queue/marked_claim.h"
#include "queue/taken_columns.h"
#include "schema/queries.h"
#include "work/process.h"

namespace weir::queue {
namespace {

/// There is one lane until the tables are spread over several servers.
constexpr std::int16_t kLane = 0;
/// A worker of more queues than this sleeps for all there are: a lock for each would be too much.
constexpr std::size_t kMostTopics = 8;
constexpr std::size_t kMostAskedOneByOne = 4;
/// Hints where to look first; more are as good as none.
constexpr std::size_t kMostHeard = 64;
/// Between two looks for what is due, where nothing is known to be due sooner.
constexpr Duration kKeepInterval = std::chrono::seconds(5);

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
    auto rows = session.run<sql::ClaimLimitedJobs>(life.id(), number, kLane, queue->id,
                                                   static_cast<std::int32_t>(count));
    return rows.empty() ? nullptr : std::make_shared<JobClaim>(number, std::move(rows), queue);
  }
  return claim_with_marks(
      marks_[queue->id], wanted, thorough, number, queue, [&](const ClaimMarks::Range& range) {
        return session.run<sql::ClaimJobs>(life.id(), number, kLane, queue->id, range.priority, range.above,
                                           range.last_priority, count);
      });
}

std::shared_ptr<JobClaim> JobSource::take(pg::Session& session, Taker& taker, std::size_t wanted,
                                          bool thorough) {
  return looking(session, thorough, [&] { return take_any(session, taker, wanted, thorough); });
}

std::shared_ptr<JobClaim> JobSource::take_any(pg::Session& session, Taker& taker, std::size_t wanted,
                                              bool thorough) {
  const auto count = static_cast<std::int64_t>(wanted);
  return ask(session, *settings(), taker.turn, [&](const std::shared_ptr<const QueueSettings>& queue) {
    return claim_with_marks(taker.marks[queue->id], wanted, thorough, ++taker.taken, queue,
                            [&](const ClaimMarks::Range& range) {
                              return session.run<sql::TakeJobs>(kLane, queue->id, range.priority, range.above,
                                                                range.last_priority, count);
                            });
  });
}

void JobSource::finish_taken(pg::Session& session, JobClaim& claim,
                             const std::vector<work::Outcome>& outcomes) {
  const auto items = claim.items();
  const auto done = [](const work::Outcome& outcome) { return outcome.is_done(); };
  if (claim.is_plain() && std::all_of(outcomes.begin(), outcomes.end(), done)) {
    counts_.add(claim.settings().id, {.done = static_cast<std::int64_t>(items.size())});
    return;
  }
  // A claim of nobody: it is gone before anybody else could see it. No process has a number below zero.
  const std::int64_t nobody = -std::abs(std::int64_t{session.backend_pid()});  // a pooler says any number
  TakenColumns columns(claim);
  session.run<sql::AdoptTakenJobs>(nobody, claim.number(), claim.settings().id, kLane, columns.seqs,
                                   columns.ids, columns.priorities, columns.attempts, columns.max_attempts,
                                   columns.created_at, columns.deadlines, columns.kinds, columns.payloads,
                                   columns.unique_keys, columns.limit_keys, columns.errors);
  counts_.add(claim.settings().id, {.running = static_cast<std::int64_t>(items.size())});
  const work::Settlement settlement{nullptr, nullptr, 0, outcomes};
  settle_parts(session, nobody, claim, {&settlement});
}

void JobSource::resolve(pg::Session& session, const work::Life& life) {
  session.run<sql::ReturnClaim>(life.id(), claims_);
  for (auto& [queue, marks] : marks_) marks.forget();
}

std::optional<Duration> JobSource::next_look() const {
  std::optional<Duration> soonest;
  for (const auto& queue : *settings()) {
    if (!queue->limited) continue;
    // A place may come free by another process's work, of which nobody tells us.
    Duration look = std::chrono::seconds(1);
    if (queue->rate) look = std::clamp<Duration>(*queue->rate, std::chrono::milliseconds(10), look);
    soonest = std::min(soonest.value_or(look), look);
  }
  return soonest;
}

std::set<std::string> JobSource::limited() const {
  std::set<std::string> names;
  for (const auto& queue : *settings()) {
    if (queue->limited) names.insert(queue->name);
  }
  return names;
}

bool JobSource::has_more(pg::Session& session) {
  const auto rows = session.run<sql::QueueHasMore>(kLane, ids());
  return rows.one().more;
}

bool JobSource::has_more_to_take(pg::Session& session) const {
  const auto rows = session.run<sql::QueueHasMore>(kLane, ids(false));
  return rows.one().more;
}

// Settling

std::size_t JobSource::settle(pg::Session& session, const work::Life& life,
                              std::vector<work::Settlement>& pending, bool all) {
  std::map<JobClaim*, std::vector<const work::Settlement*>> by_claim;
  for (const work::Settlement& settlement : pending) {
    by_claim[static_cast<JobClaim*>(settlement.claim.get())].push_back(&settlement);
  }
  std::set<const JobClaim*> whole;
  std::set<const JobClaim*> parted;
  std::size_t refused = 0;
  bool durable = false;
  for (const auto& [claim, parts] : by_claim) {
    std::size_t items = 0;
    bool plain = claim->is_plain() && claim->settled == 0;
    for (const work::Settlement* part : parts) {
      items += part->outcomes.size();
      plain = plain && std::all_of(part->outcomes.begin(), part->outcomes.end(),
                                   [](const work::Outcome& outcome) { return outcome.is_done(); });
    }
    const bool complete = claim->settled + items == claim->items().size();
    if (complete && plain) {
      whole.insert(claim);
    } else if (complete || all) {
      parted.insert(claim);
    } else {
      continue;
    }
    durable = durable || !claim->settings().relaxed;
  }
  if (whole.empty() && parted.empty()) return 0;
  be_durable(session, durable);
  if (!whole.empty()) refused += finish_whole(session, life, pending, whole);
  for (const auto& [claim, parts] : by_claim) {
    if (!parted.contains(claim)) continue;
    std::vector<const work::Settlement*> mine;
    for (const work::Settlement& settlement : pending) {
      if (settlement.claim.get() == claim) mine.push_back(&settlement);
    }
    refused += settle_parts(session, life.id(), *claim, mine);
    std::erase_if(pending, [&](const work::Settlement& settlement) {
      if (settlement.claim.get() != claim) return false;
      claim->settled += settlement.outcomes.size();
      return true;
    });
  }
  return refused;
}

std::size_t JobSource::finish_whole(pg::Session& session, const work::Life& life,
                                    std::vector<work::Settlement>& pending,
                                    const std::set<const JobClaim*>& whole) {
  std::vector<std::int64_t> ids;
  ids.reserve(whole.size());
  for (const JobClaim* claim : whole) ids.push_back(claim->number());
  std::set<std::int64_t> accepted;
  for (const auto& row : session.run<sql::FinishClaims>(life.id(), ids)) accepted.insert(row.number);
  std::size_t refused = 0;
  std::erase_if(pending, [&](const work::Settlement& settlement) {
    const auto* claim = static_cast<const JobClaim*>(settlement.claim.get());
    if (!whole.contains(claim)) return false;
    const auto items = static_cast<std::int64_t>(settlement.outcomes.size());
    const bool taken = accepted.contains(claim->number());
    if (!taken) refused += settlement.outcomes.size();
    counts_.add(claim->settings().id, {.done = taken ? items : 0, .running = -items});
    return true;
  });
  return refused;
}

std::size_t JobSource::settle_parts(pg::Session& session, std::int64_t worker, JobClaim& claim,
                                    const std::vector<const work::Settlement*>& parts) {
  std::vector<std::int64_t> seqs;
  std::vector<std::string_view> actions;
  std::vector<std::int64_t> delays;
  std::vector<std::optional<std::string_view>> texts;
  std::deque<std::string> reasons;
  QueueCounts::Counts counts;
  const WallTime now = std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now());
  for (const work::Settlement* part : parts) {
    for (std::size_t i = 0; i < part->outcomes.size(); ++i) {
      const work::Outcome& outcome = part->outcomes[i];
      const work::Item& item = claim.items()[part->first + i];
      const bool overdue = item.deadline && *item.deadline <= now;
      const Decision decision = decide(outcome, item.attempt, item.max_attempts, is_cancelled(item.id),
                                       overdue, claim.settings().backoff, random_unit());
      seqs.push_back(claim.jobs()[part->first + i].seq);
      actions.push_back(to_string(decision.action));
      delays.push_back(decision.delay / std::chrono::milliseconds(1));
      texts.push_back(outcome.text().empty()
                          ? std::nullopt
                          : std::optional<std::string_view>(
                                outcome.is_done() ? outcome.text()
                                                  : reasons.emplace_back(storable_text(outcome.text()))));
      --counts.running;
      counts.done += decision.action == Action::done ? 1 : 0;
      counts.failed += decision.action == Action::later || decision.action == Action::dead ? 1 : 0;
      counts.dead += decision.action == Action::dead ? 1 : 0;
    }
  }
  const std::size_t accepted = write(session, worker, claim.number(), seqs, actions, delays, texts);
  const bool soon =
      std::any_of(actions.begin(), actions.end(),
                  [](std::string_view action) { return action.starts_with("later"); }) &&
      *std::min_element(delays.begin(), delays.end()) < kKeepInterval / std::chrono::milliseconds(1);
  // In a transaction nobody sees it yet.
  if (soon && !session.in_transaction()) keep_soon();
  forget_cancels(claim, parts);
  counts_.add(claim.settings().id, counts);
  return seqs.size() - accepted;
}

std::size_t JobSource::write(pg::Session& session, std::int64_t worker, std::int64_t claim,
                             const std::vector<std::int64_t>& seqs,
                             const std::vector<std::string_view>& actions,
                             const std::vector<std::int64_t>& delays,
                             const std::vector<std::optional<std::string_view>>& texts) {
  const auto settle = [&](const auto&... columns) {
    return static_cast<std::size_t>(session.run<sql::SettleJobs>(worker, claim, columns...).size());
  };
  try {
    return settle(seqs, actions, delays, texts);
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server || session.in_transaction()) throw;
  }
  // One of them cannot be written, such as a result that is no JSON: it must not keep the others back.
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < seqs.size(); ++i) {
    using Texts = std::vector<std::optional<std::string_view>>;
    try {
      accepted +=
          settle(std::vector{seqs[i]}, std::vector{actions[i]}, std::vector{delays[i]}, Texts{texts[i]});
    } catch (const pg::Error& error) {
      if (error.kind() != pg::ErrorKind::server) throw;
      const std::string reason = std::string("its outcome cannot be stored: ") + error.what();
      accepted += settle(std::vector{seqs[i]}, std::vector{to_string(Action::dead)},
                         std::vector<std::int64_t>{0}, Texts{reason});
    }
  }
  return accepted;
}

void JobSource::be_durable(pg::Session& session, bool durable) {
  if (!session.keeps_state()) return;
  const bool relaxed = relaxed_session_ == session.backend_pid();
  if (relaxed == !durable) return;
  session.set("synchronous_commit", durable ? "on" : "off");
  relaxed_session_ = durable ? 0 : session.backend_pid();
}

void JobSource::drop(const work::Settlement& settlement) noexcept {
  const auto& claim = static_cast<const JobClaim&>(*settlement.claim);
  counts_.add(claim.settings().id, {.running = -static_cast<std::int64_t>(settlement.outcomes.size())});
}

bool JobSource::is_cancelled(std::int64_t id) const {
  const MutexLock lock(mutex_);
  return cancelled_.contains(id);
}

void JobSource::forget_cancels(const JobClaim& claim, const std::vector<const work::Settlement*>& parts) {
  const MutexLock lock(mutex_);
  if (cancelled_.empty()) return;
  for (const work::Settlement* part : parts) {
    for (const work::Item& item : claim.items().subspan(part->first, part->outcomes.size()))
      cancelled_.erase(item.id);
  }
}

// Keeping

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
    const auto rows = session.run<sql::RescueJobs>(kClaimsAtOnce);
    if (rows.one().rescued == 0) return;
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
  forget_history(session);
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
  forgets_ = true;
}

void JobSource::forget_history(pg::Session& session) {
  constexpr std::int64_t kMost = 10'000;
  // A part each round until all is gone: what is due must not wait for it.
  const SteadyTime until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (forgets_ && std::chrono::steady_clock::now() < until) {
    const auto rows = session.run<sql::ForgetOldJobs>(kMost);
    forgets_ = rows.one().forgotten == kMost;
  }
}

}  // namespace weir::queue
