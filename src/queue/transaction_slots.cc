#include "queue/transaction_slots.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "pg/transaction.h"
#include "queue/take_size.h"
#include "queue/taken_batch.h"

namespace weir::queue {
namespace {

constexpr BackoffPolicy kRetry{.base = std::chrono::milliseconds(20), .cap = std::chrono::seconds(5)};
constexpr Duration kTooLong = std::chrono::seconds(5);

/// One slot's session, transaction after transaction.
class Slot {
 public:
  Slot(const pg::Connector& connector, JobSource& source, work::Handler& handler, std::size_t most,
       std::stop_token hard)
      : connector_(connector), source_(source), handler_(handler), hard_(std::move(hard)), size_(most) {}

  /// `taken` is called when it has found jobs, before it runs them.
  template <class Taken>
  bool take_and_run(const work::Life& life, bool thorough, Taken&& taken) {
    pg::Session& session = this->session(life);
    pg::Transaction transaction(session);
    const SteadyTime began = std::chrono::steady_clock::now();
    const auto claim = source_.take(session, taker_, size_.next(), thorough);
    if (!claim) return false;
    taken();
    if (claim->settings().relaxed) transaction.set_local("synchronous_commit", "off");
    const auto outcomes = run_taken(session, handler_, *claim, hard_);
    source_.finish_taken(session, *claim, outcomes);
    transaction.commit();
    if (std::any_of(outcomes.begin(), outcomes.end(), [](const auto& outcome) { return !outcome.is_done(); }))
      source_.promote_soon();
    const Duration span = std::chrono::steady_clock::now() - began;
    size_.took(claim->items().size(), span);
    if (span > kTooLong) {
      log::warn(
          "a transaction was open for long: it holds up vacuum for everybody",
          {{"queue", claim->settings().name}, {"seconds", std::chrono::duration<double>(span).count()}});
    }
    return true;
  }
  void leave() noexcept { session_.reset(); }

 private:
  /// Named by the life: should this process freeze in the middle, whoever declares it dead hangs up for it.
  pg::Session& session(const work::Life& life) {
    if (!session_ || !session_->is_open() || life_ != life.id()) {
      session_.reset();
      session_.emplace(connector_.connect(pg::Role::task, life.session_id(), {.stop = hard_}));
      session_->set_stop(hard_);
      life_ = life.id();
    }
    return *session_;
  }

  const pg::Connector& connector_;
  JobSource& source_;
  work::Handler& handler_;
  std::stop_token hard_;
  std::optional<pg::Session> session_;
  std::int64_t life_ = 0;
  JobSource::Taker taker_;
  TakeSize size_;
};

}  // namespace

void TransactionSlots::start(std::size_t count, const work::HandlerFactory& factory) {
  for (std::size_t i = 0; i < count; ++i) handlers_.push_back(factory());
  for (const auto& handler : handlers_) {
    threads_.emplace_back([this, &handler = *handler](const std::stop_token& stop) { work(handler, stop); });
  }
}

void TransactionSlots::work(work::Handler& handler, const std::stop_token& stop) {
  Slot slot(connector_, source_, handler, most_, stop_.get_token());
  int failures = 0;
  bool thorough = false;
  while (wait_for_round(thorough, stop)) {
    Look look = Look::found;
    bool of_round = true;  // what it finds later, by itself, is no answer to the round
    while (look == Look::found && !stop.stop_requested()) {
      try {
        const auto life = process_.life(stop);
        if (!life) break;
        const auto taken = [&] { report(Look::found, std::exchange(of_round, false)); };
        if (!slot.take_and_run(*life, thorough, taken)) {
          look = Look::empty;
          report(look, of_round);
        }
        failures = 0;
      } catch (const std::exception& error) {
        if (stop.stop_requested() || stop_.stop_requested()) break;
        const auto* known = dynamic_cast<const pg::Error*>(&error);
        if (known == nullptr || known->kind() != pg::ErrorKind::retryable) {
          log::warn("a transaction of jobs was undone; they are tried again", {{"error", error.what()}});
        }
        Wakeup unused;
        wait_fd(-1, 0, Deadline::after(backoff_delay(kRetry, ++failures, random_unit())), stop, unused);
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
  if (++waiting_ == handlers_.size()) idle_.notify();
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
  return waiting_ == handlers_.size();
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
  handlers_.clear();
}

}  // namespace weir::queue
