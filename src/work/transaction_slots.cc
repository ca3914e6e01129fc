#include "work/transaction_slots.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "pg/transaction.h"

namespace weir::work {
namespace {

constexpr BackoffPolicy kSlotRetry{.base = std::chrono::milliseconds(20), .cap = std::chrono::seconds(5)};

/// One slot's session, transaction after transaction.
class Slot {
 public:
  Slot(const pg::Connector& connector, Taker& taker, Duration patience, std::stop_token hard)
      : connector_(connector), taker_(taker), patience_(patience), hard_(std::move(hard)) {}

  /// `taken` is called when it has found work, before it is done.
  bool take_and_run(const Life& life, bool thorough, const std::function<void()>& taken) {
    pg::Session& session = this->session(life);
    // What is ours is answered at once, or the session is given up: a round waits for all that look.
    session.set_timeout(usual_);
    pg::Transaction transaction(session);
    const SteadyTime began = std::chrono::steady_clock::now();
    const auto begun = [&] {
      taken();
      session.set_timeout(patience_);
    };
    if (!taker_.take_and_run(session, transaction, thorough, begun, hard_)) return false;
    session.set_timeout(usual_);
    transaction.commit();
    taker_.committed(std::chrono::steady_clock::now() - began);
    return true;
  }
  void leave() noexcept {
    session_.reset();
    life_ = 0;
  }

 private:
  /// Named by the life: should this process freeze in the middle, whoever declares it dead hangs up for it.
  pg::Session& session(const Life& life) {
    if (!session_ || !session_->is_open() || life_ != life.id()) {
      leave();
      session_.emplace(connector_.connect(pg::Role::task, life.session_id(), {.stop = hard_}));
      session_->set_stop(hard_);
      taker_.connected(*session_, life.id());
      usual_ = session_->options().timeout;
      life_ = life.id();
    }
    return *session_;
  }

  const pg::Connector& connector_;
  Taker& taker_;
  const Duration patience_;
  std::stop_token hard_;
  std::optional<pg::Session> session_;
  Duration usual_{};
  std::int64_t life_ = 0;
};

}  // namespace

void TransactionSlots::start(std::size_t count, const TakerFactory& factory) {
  for (std::size_t i = 0; i < count; ++i) takers_.push_back(factory());
  for (const auto& taker : takers_) {
    threads_.emplace_back([this, &taker = *taker](const std::stop_token& stop) { work(taker, stop); });
  }
}

void TransactionSlots::work(Taker& taker, const std::stop_token& stop) {
  Slot slot(connector_, taker, patience_, stop_.get_token());
  int failures = 0;
  bool thorough = false;
  while (wait_for_round(thorough, stop)) {
    Look look = Look::found;
    bool of_round = true;  // what it finds later, by itself, is no answer to the round
    while (look == Look::found && !stop.stop_requested()) {
      try {
        const auto life = process_.life(stop);
        if (!life) {
          report(Look::empty, of_round);
          break;
        }
        const auto taken = [&] { report(Look::found, std::exchange(of_round, false)); };
        if (!slot.take_and_run(*life, thorough, taken)) {
          look = Look::empty;
          report(look, of_round);
        }
        failures = 0;
      } catch (const std::exception& error) {
        // It goes on trying by itself; the others need not wait for what it will find.
        report(Look::empty, std::exchange(of_round, false));
        if (stop.stop_requested() || stop_.stop_requested()) break;
        const auto* known = dynamic_cast<const pg::Error*>(&error);
        if (known == nullptr || known->kind() != pg::ErrorKind::retryable) {
          log::warn("a transaction of work was undone; it is tried again", {{"error", error.what()}});
        }
        Wakeup unused;
        wait_fd(-1, 0, Deadline::after(backoff_delay(kSlotRetry, ++failures, random_unit())), stop, unused);
      }
    }
  }
  slot.leave();
  const MutexLock lock(mutex_);
  ++ended_;
  changed_.notify_all();
}

bool TransactionSlots::wait_for_round(bool& thorough, const std::stop_token& stop) {
  MutexLock lock(mutex_);
  const std::uint64_t before = round_;  // one that has begun does not count us
  if (++waiting_ == takers_.size()) idle_.notify();
  changed_.notify_all();
  changed_.wait(lock, stop, [&]() WEIR_REQUIRES(mutex_) { return round_ > before || closed_; });
  --waiting_;
  thorough = thorough_;
  return !closed_ && !stop.stop_requested();
}

void TransactionSlots::report(Look look, bool of_round) {
  const MutexLock lock(mutex_);
  if (look == Look::found) found_ = true;
  if (of_round && looking_ > 0) --looking_;
  changed_.notify_all();
}

bool TransactionSlots::round(bool thorough, const std::stop_token& stop) {
  MutexLock lock(mutex_);
  changed_.wait(lock, stop, [this]() WEIR_REQUIRES(mutex_) { return waiting_ > 0; });
  if (stop.stop_requested()) return false;
  found_ = false;
  looking_ = waiting_;
  thorough_ = thorough;
  ++round_;
  changed_.notify_all();
  changed_.wait(lock, stop, [this]() WEIR_REQUIRES(mutex_) { return found_ || looking_ == 0; });
  return found_;
}

bool TransactionSlots::all_wait() const {
  const MutexLock lock(mutex_);
  return waiting_ == takers_.size();
}

void TransactionSlots::close() {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
  }
  for (std::jthread& thread : threads_) thread.request_stop();
  changed_.notify_all();
}

bool TransactionSlots::wait_ended(Deadline deadline) {
  MutexLock lock(mutex_);
  while (ended_ < threads_.size()) {
    if (deadline.expired()) return false;
    changed_.wait_until(lock,
                        std::min(deadline.at(), std::chrono::steady_clock::now() + std::chrono::hours(1)));
  }
  return true;
}

void TransactionSlots::join() noexcept {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
  takers_.clear();
}

}  // namespace weir::work
