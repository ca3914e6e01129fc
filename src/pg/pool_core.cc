#include "pg/pool_core.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace weir::pg {
namespace {

/// Cleaning is done by whoever returns the session, so it must not hold him up; past this the session is
/// closed.
constexpr Duration kCleaningSpan = std::chrono::seconds(2);

}  // namespace

PoolCore::PoolCore(std::shared_ptr<const Connector> connector, PoolOptions options)
    : connector_(std::move(connector)), options_(std::move(options)) {
  if (options_.size + options_.overflow == 0) {
    raise({.kind = ErrorKind::misuse, .message = "pool " + options_.name + " may have no session at all"});
  }
}

Lease PoolCore::lease(const Limit& limit) {
  const SteadyTime begin = options_.clock->steady();
  std::optional<Idle> taken = wait_for_turn(limit);
  // The server may have hung up while it lay idle; its place in the count serves for a new one.
  if (taken && !taken->session.wire_.still_alive()) {
    taken->session.close();
    taken.reset();
    const MutexLock lock(mutex_);
    --active_;
    ++connecting_;
    ++counters_.discarded;
  }
  Lease lease = taken ? hand_out(std::move(*taken)) : connect(limit);
  waits_.record(options_.clock->steady() - begin);
  const MutexLock lock(mutex_);
  ++counters_.leased;
  return lease;
}

std::optional<PoolCore::Idle> PoolCore::wait_for_turn(const Limit& limit) {
  MutexLock lock(mutex_);
  if (shut_) raise_shut();
  if (line_.empty() && !idle_.empty()) {
    std::optional<Idle> taken(std::move(idle_.back()));
    idle_.pop_back();
    ++active_;
    return taken;
  }
  if (line_.empty() && in_existence() < options_.size + options_.overflow) {
    ++connecting_;
    return std::nullopt;
  }
  if (line_.size() >= options_.max_waiters) exhausted("too many callers wait for one already");

  Waiter waiter;
  const auto place = line_.insert(line_.end(), &waiter);
  const Deadline deadline = limit.deadline.sooner(Deadline::after(options_.wait));
  changed_.wait_until(lock, limit.stop, deadline.at(), [&waiter] {
    return waiter.session.has_value() || waiter.may_connect || waiter.pool_is_shut;
  });
  if (waiter.pool_is_shut) raise_shut();
  if (waiter.session || waiter.may_connect) return std::move(waiter.session);
  line_.erase(place);
  if (limit.stop.stop_requested()) {
    raise({.kind = ErrorKind::stopped,
           .message = "stopped while waiting for a session of pool " + options_.name});
  }
  exhausted("none came free in time");
}

Lease PoolCore::connect(const Limit& limit) {
  std::uint64_t generation = 0;
  {
    const MutexLock lock(mutex_);
    generation = generation_;
  }
  try {
    Session session = connector_->connect(options_.role, options_.name, limit);
    const MutexLock lock(mutex_);
    --connecting_;
    ++active_;
    ++counters_.opened;
    return {shared_from_this(), std::move(session), SessionAge{options_.clock->steady(), generation}};
  } catch (...) {
    const MutexLock lock(mutex_);
    --connecting_;
    pass_on(std::nullopt);
    throw;
  }
}

Lease PoolCore::hand_out(Idle taken) {
  taken.session.adopt_by_this_thread();
  taken.session.options_ = connector_->options().session;
  return {shared_from_this(), std::move(taken.session), taken.age};
}

void PoolCore::take_back(Session session, SessionAge age, bool dirty) noexcept {
  if (session.is_open() && (dirty || session.wire_.transaction() != Wire::Transaction::idle)) clean(session);
  {
    const MutexLock lock(mutex_);
    if (is_worth_keeping(session, age)) {
      --active_;
      pass_on(Idle{std::move(session), age});
      return;
    }
  }
  // Hanging up talks to the network: not under the lock. Room is made only after it, so the count never lies.
  session.close();
  const MutexLock lock(mutex_);
  --active_;
  ++counters_.discarded;
  pass_on(std::nullopt);
}

bool PoolCore::is_worth_keeping(const Session& session, SessionAge age) const {
  const bool too_old = options_.clock->steady() - age.born > options_.max_lifetime;
  if (!session.is_open() || shut_ || too_old || age.generation != generation_) return false;
  return in_existence() <= options_.size || !line_.empty();
}

void PoolCore::clean(Session& session) noexcept {
  try {
    if (session.wire_.transaction() == Wire::Transaction::active || !session.busy_with_.empty()) {
      session.close();  // in the middle of a statement or a COPY
      return;
    }
    session.options_.timeout = kCleaningSpan;
    session.options_.stop = {};
    if (session.in_transaction()) session.execute("ROLLBACK");
    session.execute("DISCARD ALL");
    session.forget_prepared();
  } catch (const std::exception& error) {
    log::warn("a session could not be cleaned and was closed",
              {{"pool", options_.name}, {"error", error.what()}});
    session.close();
  }
}

void PoolCore::pass_on(std::optional<Idle> freed) noexcept {
  if (line_.empty()) {
    if (freed) idle_.push_back(std::move(*freed));
    return;
  }
  Waiter& first = *line_.front();
  if (freed) {
    first.session = std::move(freed);
    ++active_;
  } else if (!shut_ && in_existence() < options_.size + options_.overflow) {
    first.may_connect = true;
    ++connecting_;
  } else {
    return;
  }
  line_.pop_front();
  changed_.notify_all();
}

void PoolCore::close_all() noexcept {
  std::vector<Idle> closing;
  const MutexLock lock(mutex_);
  ++generation_;
  counters_.discarded += idle_.size();
  closing.swap(idle_);
}

void PoolCore::shut() noexcept {
  {
    const MutexLock lock(mutex_);
    shut_ = true;
    for (Waiter* waiter : line_) waiter->pool_is_shut = true;
    line_.clear();
  }
  changed_.notify_all();
  close_all();
}

std::size_t PoolCore::in_existence() const { return connecting_ + active_ + idle_.size(); }

PoolStats PoolCore::figures() const {
  PoolStats stats = counters_;
  stats.connecting = connecting_;
  stats.active = active_;
  stats.idle = idle_.size();
  stats.max = options_.size + options_.overflow;
  stats.waiting = line_.size();
  return stats;
}

PoolStats PoolCore::stats() const {
  const MutexLock lock(mutex_);
  return figures();
}

void PoolCore::raise_shut() const {
  raise({.kind = ErrorKind::misuse, .message = "pool " + options_.name + " is closed"});
}

void PoolCore::exhausted(std::string_view why) {
  ++counters_.exhausted;
  const PoolStats now = figures();
  raise(
      {.kind = ErrorKind::exhausted,
       .message = "pool " + options_.name + " has no free session: " + std::string(why) + " (connecting " +
                  std::to_string(now.connecting) + ", active " + std::to_string(now.active) + ", idle " +
                  std::to_string(now.idle) + ", max " + std::to_string(now.max) + ", waiting " +
                  std::to_string(now.waiting) + ")",
       .hint =
           "Return leases sooner, raise the pool's size if the server has connections to spare, or lower the "
           "concurrency."});
}

}  // namespace weir::pg
