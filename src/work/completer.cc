#include "work/completer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "pg/error.h"
#include "work/inbox.h"
#include "work/process.h"

namespace weir::work {
namespace {

constexpr BackoffPolicy kCompletionRetry{.base = std::chrono::milliseconds(20),
                                         .cap = std::chrono::seconds(2)};
/// How long outcomes may wait for the rest of their claim.
constexpr Duration kLinger = std::chrono::milliseconds(200);

std::size_t count_items(const std::vector<Settlement>& settlements) {
  std::size_t items = 0;
  for (const Settlement& settlement : settlements) items += settlement.outcomes.size();
  return items;
}

}  // namespace

void Completer::push(Settlement settlement) {
  {
    const MutexLock lock(mutex_);
    new_.push_back(std::move(settlement));
  }
  arrived_.notify_one();
}

std::vector<Settlement> Completer::take(const std::stop_token& stop, std::optional<Duration> linger) {
  MutexLock lock(mutex_);
  const auto has_new = [this]() WEIR_REQUIRES(mutex_) { return !new_.empty(); };
  if (linger) {
    arrived_.wait_for(lock, stop, *linger, has_new);
  } else {
    arrived_.wait(lock, stop, has_new);
  }
  return std::exchange(new_, {});
}

void Completer::run(const std::stop_token& stop, const std::function<void()>& ready) {
  ready();
  std::vector<Settlement> pending;
  SteadyTime held_since{};
  for (;;) {
    const bool holds = !pending.empty();
    std::vector<Settlement> arrived = take(stop, holds ? std::optional(kLinger) : std::nullopt);
    const bool stopping = stop.stop_requested();
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!holds) held_since = now;
    std::move(arrived.begin(), arrived.end(), std::back_inserter(pending));
    const bool all = stopping || now - held_since >= kLinger;
    if (!pending.empty()) write(pending, all);
    if (all) held_since = now;
    if (stopping && pending.empty()) break;
  }
  session_.reset();
}

void Completer::write(std::vector<Settlement>& pending, bool all) {
  for (int failures = 0; !pending.empty();) {
    const std::size_t before = count_items(pending);
    try {
      write_once(pending, all);
      inbox_.settled(before - count_items(pending));
      return;
    } catch (const std::exception& error) {
      const auto* known = dynamic_cast<const pg::Error*>(&error);
      if (known == nullptr || known->kind() != pg::ErrorKind::retryable) {
        log::warn("outcomes could not be written; they are written again",
                  {{"source", source_.name()}, {"error", error.what()}});
      }
    }
    forget_lost(pending);
    inbox_.settled(before - count_items(pending));
    // Not cut short by a stop: what was done is to be recorded while the lease lasts, and no longer.
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(backoff_delay(kCompletionRetry, ++failures, random_unit())), {}, unused);
  }
}

void Completer::write_once(std::vector<Settlement>& pending, bool all) {
  forget_lost(pending);
  std::vector<Settlement> kept;
  while (!pending.empty()) {
    // Of one life at a time; there is hardly ever more than one.
    const std::shared_ptr<Life> life = pending.front().life;
    const auto others = std::stable_partition(pending.begin(), pending.end(),
                                              [&](const Settlement& each) { return each.life == life; });
    std::vector<Settlement> mine(std::make_move_iterator(pending.begin()), std::make_move_iterator(others));
    pending.erase(pending.begin(), others);
    const std::size_t items = count_items(mine);
    try {
      refused_ += source_.settle(session(*life), *life, mine, all);
    } catch (...) {
      settled_ += items - count_items(mine);
      std::move(mine.begin(), mine.end(), std::back_inserter(pending));
      std::move(kept.begin(), kept.end(), std::back_inserter(pending));
      throw;
    }
    settled_ += items - count_items(mine);
    std::move(mine.begin(), mine.end(), std::back_inserter(kept));
  }
  pending = std::move(kept);
}

void Completer::forget_lost(std::vector<Settlement>& pending) {
  std::size_t items = 0;
  std::erase_if(pending, [&](const Settlement& settlement) {
    if (!settlement.life->is_lost()) return false;
    items += settlement.outcomes.size();
    source_.drop(settlement);
    return true;
  });
  if (items == 0) return;
  refused_ += items;
  log::warn("outcomes are dropped: the lease was lost, and others have the work", {{"items", items}});
}

pg::Session& Completer::session(const Life& life) {
  if (!session_ || !session_->is_open() || session_life_ != life.id()) {
    session_.reset();
    session_.emplace(connector_.connect(pg::Role::poll, life.session_id(),
                                        pg::Limit::within(std::chrono::seconds(10), life.lost())));
    session_life_ = life.id();
  }
  session_->set_stop(life.lost());
  return *session_;
}

}  // namespace weir::work
