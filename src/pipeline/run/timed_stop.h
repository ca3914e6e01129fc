#pragma once

#include <atomic>
#include <functional>
#include <stop_token>
#include <thread>

#include "base/deadline.h"
#include "base/wait.h"

namespace weir::pipeline {

/// A stop for what knows no deadline: requested when another one is, or when the deadline passes.
class TimedStop {
 public:
  TimedStop(const std::stop_token& stop, Deadline deadline);
  ~TimedStop();
  TimedStop(const TimedStop&) = delete;
  TimedStop& operator=(const TimedStop&) = delete;

  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
  /// It was the deadline.
  [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }

 private:
  void wait(Deadline deadline);

  std::stop_source source_;
  std::atomic<bool> timed_out_ = false;
  Wakeup wakeup_;
  std::stop_callback<std::function<void()>> passed_on_;
  std::jthread timer_;  // last: it uses the others
};

}  // namespace weir::pipeline
