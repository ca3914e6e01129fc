#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <stop_token>
#include <thread>

#include "base/service.h"

namespace weir {

/// A service that is one thread. The class derived from it writes run(), and calls stop() in its destructor.
class ThreadService : public Service {
 public:
  ThreadService() = default;
  ThreadService(const ThreadService&) = delete;
  ThreadService& operator=(const ThreadService&) = delete;
  ~ThreadService() override;

  void start() final;
  void stop() noexcept final;

  /// Why run() ended by itself after it was ready; null while it runs and after a plain stop.
  [[nodiscard]] std::exception_ptr failure() const;

 protected:
  /// The work. Calls `ready` once, when start() may return; ends soon after `stop` is requested. What it
  /// throws before `ready` comes out of start(); what it throws later is logged and kept for failure().
  virtual void run(const std::stop_token& stop, const std::function<void()>& ready) = 0;

 private:
  enum class State { idle, starting, ready, ended };
  void thread_main(const std::stop_token& stop) noexcept;
  void settle(State state, std::exception_ptr failure) noexcept;

  Mutex lifecycle_;  // held through start() and stop(): they never overlap
  std::thread thread_ WEIR_GUARDED_BY(lifecycle_);

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  State state_ WEIR_GUARDED_BY(mutex_) = State::idle;
  bool was_ready_ WEIR_GUARDED_BY(mutex_) = false;  ///< in the present life
  std::stop_source stop_
      WEIR_GUARDED_BY(mutex_);  // of the present life; a stop uses it before lifecycle_ is free
  std::exception_ptr failure_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir
