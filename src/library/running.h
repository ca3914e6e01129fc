#pragma once

#include <condition_variable>
#include <functional>
#include <stop_token>

#include "base/mutex.h"

namespace weir {

/// Starts and stops something, from any thread and any number of times; run() stays until it has ended.
class Running {
 public:
  struct What {
    std::function<void()> start;
    std::function<void(const std::stop_token&)> wait;  ///< until it has ended by itself, or has to
    std::function<void()> stop;
  };
  explicit Running(What what) : what_(std::move(what)) {}
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { stop(); }

  void start();
  void stop() noexcept;
  void run(const std::stop_token& stop);
  [[nodiscard]] bool started() const;

 private:
  const What what_;
  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  bool started_ WEIR_GUARDED_BY(mutex_) = false;
  int waiting_ WEIR_GUARDED_BY(mutex_) = 0;  ///< threads in run()
  std::stop_source ended_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir
