#include "base/thread_service.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "base/log.h"

namespace weir {

ThreadService::~ThreadService() {
  if (!thread_.joinable()) return;
  // The derived part is gone already, while its thread still runs on it.
  std::fputs("weir: a ThreadService was destroyed before it was stopped\n", stderr);
  std::abort();
}

void ThreadService::start() {
  const MutexLock lifecycle(lifecycle_);
  if (thread_.joinable()) {
    const MutexLock lock(mutex_);
    if (state_ == State::ready) return;
  }
  if (thread_.joinable()) thread_.join();  // it ended by itself
  std::stop_source stop;
  {
    const MutexLock lock(mutex_);
    state_ = State::starting;
    was_ready_ = false;
    failure_ = nullptr;
    stop_ = stop;
  }
  thread_ = std::thread([this, token = stop.get_token()] { thread_main(token); });

  std::exception_ptr failed;
  {
    MutexLock lock(mutex_);
    while (state_ == State::starting) changed_.wait(lock);
    // Who was ready has started, also when it came to its end before we looked.
    const bool in_vain = state_ == State::ended && !was_ready_;
    if (in_vain) failed = failure_;
    if (in_vain && !failed && !stop.stop_requested()) {
      failed = std::make_exception_ptr(
          Error(ExitCode::failed, "service " + std::string(name()) + " ended before it was ready"));
    }
  }
  if (failed) {
    thread_.join();
    settle(State::idle, nullptr);
    // Whoever stopped it meanwhile is why it did not start.
    if (!stop.stop_requested()) std::rethrow_exception(failed);
  }
}

void ThreadService::stop() noexcept {
  {
    // First: start() holds lifecycle_ until run() is ready, which a stop must not wait for.
    const MutexLock lock(mutex_);
    stop_.request_stop();
  }
  const MutexLock lifecycle(lifecycle_);
  if (!thread_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    stop_.request_stop();
  }
  thread_.join();
  const MutexLock lock(mutex_);
  state_ = State::idle;
}

std::exception_ptr ThreadService::failure() const {
  const MutexLock lock(mutex_);
  return failure_;
}

void ThreadService::thread_main(const std::stop_token& stop) noexcept {
  bool was_ready = false;
  std::exception_ptr failure;
  try {
    run(stop, [&] {
      was_ready = true;
      settle(State::ready, nullptr);
    });
  } catch (const std::exception& error) {
    failure = std::current_exception();
    if (was_ready) log::error("service ended", {{"service", name()}, {"error", error.what()}});
  } catch (...) {
    failure = std::current_exception();
    if (was_ready) log::error("service ended", {{"service", name()}, {"error", "not a std::exception"}});
  }
  settle(State::ended, failure);
}

void ThreadService::settle(State state, std::exception_ptr failure) noexcept {
  {
    const MutexLock lock(mutex_);
    state_ = state;
    was_ready_ = was_ready_ || state == State::ready;
    failure_ = std::move(failure);
  }
  changed_.notify_all();
}

}  // namespace weir
