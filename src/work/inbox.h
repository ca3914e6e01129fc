#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/wait.h"
#include "work/claim_source.h"

namespace weir::work {

/// A piece of a claim, for one slot.
struct Portion {
  std::shared_ptr<Life> life;
  std::shared_ptr<Claim> claim;
  std::size_t first = 0;
  std::size_t count = 0;

  [[nodiscard]] std::span<const Item> items() const noexcept { return claim->items().subspan(first, count); }
};

/// Between the thread that claims, the slots that work and the one that settles: what waits for a slot, what
/// runs, and how many items are anywhere in between. Any thread may use it.
class Inbox {
 public:
  /// `room` is notified when items were settled, or a time limit has to be watched.
  explicit Inbox(Wakeup& room) : room_(room) {}
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;
  ~Inbox() = default;

  void push(std::vector<Portion> portions);
  /// The next portion; nothing when stop was requested.
  std::optional<Portion> pop(const std::stop_token& stop);
  /// Everything that no slot has begun.
  std::vector<Portion> take_unbegun();

  /// A portion that a slot works on. It is stopped when its life is lost, by stop_all(), by its time limit,
  /// or when one of its items is cancelled.
  class Running {
   public:
    Running(Inbox& inbox, const Portion& portion);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    [[nodiscard]] std::stop_token stop() const noexcept { return stop_.get_token(); }
    [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }

   private:
    friend class Inbox;
    Inbox& inbox_;
    const Portion& portion_;
    std::optional<SteadyTime> ends_at_;
    std::stop_source stop_;
    std::atomic<bool> timed_out_{false};
    std::stop_callback<std::function<void()>> on_loss_;
    std::list<Running*>::iterator place_;
  };

  /// Stops what has run out of time; answers when the next one will.
  std::optional<SteadyTime> stop_overdue(SteadyTime now);
  /// Those that run now, and those that are about to; whom an earlier call named is forgotten.
  void stop_items(const std::vector<std::int64_t>& ids);
  void stop_all();

  /// Counts items that go to be settled without a slot.
  void expect(std::size_t items);
  void settled(std::size_t items);
  /// Items that were pushed and not settled.
  [[nodiscard]] std::size_t in_flight() const;
  /// How long an item takes, on the average of late; nothing before the first.
  [[nodiscard]] std::optional<Duration> pace() const;
  void measured(std::size_t items, Duration took);

 private:
  template <class Choose>
  void stop_those(Choose&& choose);

  Wakeup& room_;
  mutable Mutex mutex_;
  std::condition_variable_any arrived_;
  std::deque<Portion> waiting_ WEIR_GUARDED_BY(mutex_);
  std::list<Running*> running_ WEIR_GUARDED_BY(mutex_);
  std::set<std::int64_t> unwanted_ WEIR_GUARDED_BY(mutex_);
  std::size_t in_flight_ WEIR_GUARDED_BY(mutex_) = 0;
  std::optional<Duration> pace_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::work
