#include "library/running.h"

namespace weir {

void Running::start() {
  const MutexLock lock(mutex_);
  if (started_) return;
  what_.start();
  ended_ = std::stop_source();
  started_ = true;
}

void Running::stop() noexcept {
  MutexLock lock(mutex_);
  if (!started_) return;
  ended_.request_stop();
  // What run() waits for goes with it.
  while (waiting_ > 0) changed_.wait(lock);
  if (!started_) return;  // somebody else was faster
  what_.stop();
  started_ = false;
}

void Running::run(const std::stop_token& stop) {
  start();
  std::stop_source ended;
  {
    const MutexLock lock(mutex_);
    if (!started_) return;
    ended = ended_;
    ++waiting_;
  }
  /// However the wait ends: stop() and the destructor wait for us.
  struct Leave {
    Running& running;
    ~Leave() {
      {
        const MutexLock lock(running.mutex_);
        --running.waiting_;
        running.changed_.notify_all();
      }
      running.stop();
    }
  } const leave{*this};
  const std::stop_callback pass_on(stop, [&ended] { ended.request_stop(); });
  what_.wait(ended.get_token());
}

bool Running::started() const {
  const MutexLock lock(mutex_);
  return started_;
}

}  // namespace weir
