#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <optional>
#include <utility>

#include "base/deadline.h"
#include "base/mutex.h"

namespace weir {

/// A point in production code that a test can wait for instead of sleeping. Nothing is kept until a test
/// enables it, so in production it costs one relaxed load.
template <class Value>
class TestSignal {
 public:
  void enable() noexcept { enabled_.store(true, std::memory_order_relaxed); }

  void emit(Value value) {
    if (!enabled_.load(std::memory_order_relaxed)) return;
    {
      const MutexLock lock(mutex_);
      values_.push_back(std::move(value));
    }
    arrived_.notify_all();
  }

  /// The next value in the order of emission; nothing when the deadline passes first.
  std::optional<Value> wait(Deadline deadline) {
    MutexLock lock(mutex_);
    while (values_.empty()) {
      if (deadline.expired()) return std::nullopt;
      arrived_.wait_until(lock,
                          std::min(deadline.at(), std::chrono::steady_clock::now() + std::chrono::hours(1)));
    }
    std::optional<Value> value(std::move(values_.front()));
    values_.pop_front();
    return value;
  }

 private:
  std::atomic<bool> enabled_{false};
  Mutex mutex_;
  std::condition_variable_any arrived_;
  std::deque<Value> values_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir
