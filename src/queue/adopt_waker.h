#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/deadline.h"
#include "base/mutex.h"
#include "pg/listener.h"

namespace weir::queue {

/// Lets the idle workers of a process sleep until the trigger of their table (adopt_trigger.h) wakes them, or
/// a deadline passes. As long as one of them sleeps, the listening session holds the shared advisory lock
/// that the trigger looks for; while all work, nobody is notified.
///
/// Why no wake-up is lost: a transaction whose trigger runs after the lock was taken notifies. One whose
/// trigger ran before had its transaction id when the lock was taken; registration() names an id that was
/// given out later, and a worker may only sleep when a poll that began after all older ones had ended found
/// nothing. A session that is lost takes the lock with it, and the next one is a new registration.
class AdoptWaker {
 public:
  AdoptWaker(std::shared_ptr<const pg::Connector> connector, std::int64_t table_id, std::string id);
  ~AdoptWaker();
  AdoptWaker(const AdoptWaker&) = delete;
  AdoptWaker& operator=(const AdoptWaker&) = delete;

  /// Throws where the server cannot be reached.
  void start() { listener_.start(); }

  /// Between its construction and its end a worker is idle.
  class Sleeper {
   public:
    explicit Sleeper(AdoptWaker& waker) : waker_(waker) { waker_.add(1); }
    ~Sleeper() { waker_.add(-1); }
    Sleeper(const Sleeper&) = delete;
    Sleeper& operator=(const Sleeper&) = delete;

   private:
    AdoptWaker& waker_;
  };

  struct Registration {
    std::uint64_t events = 0;          ///< for wait(): what has been heard so far
    std::optional<std::int64_t> next;  ///< a transaction id from after the lock was taken
  };
  [[nodiscard]] Registration registration() const;

  /// Until something has been heard since `registration`, the deadline or stop.
  void wait(const Registration& registration, Deadline deadline, const std::stop_token& stop);

 private:
  void add(int sleepers);
  void attend(pg::Session& session);
  void wake_all();

  const std::int64_t table_id_;
  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  int sleepers_ WEIR_GUARDED_BY(mutex_) = 0;
  std::uint64_t events_ WEIR_GUARDED_BY(mutex_) = 0;
  std::optional<std::int64_t> next_ WEIR_GUARDED_BY(mutex_);

  int held_by_ = 0;  ///< the server process that holds the lock; of the listener's thread
  pg::Listener listener_;
  pg::Listener::Subscription subscription_;
};

}  // namespace weir::queue
