#include "base/exit_grace.h"

#include <condition_variable>
#include <cstdlib>

#include "base/mutex.h"

namespace weir {
namespace {

struct Held {
  Mutex mutex;
  std::condition_variable_any changed;
  int count WEIR_GUARDED_BY(mutex) = 0;
  Duration longest WEIR_GUARDED_BY(mutex) = ExitGrace::kLongest;
};

void wait_at_exit();

/// Never destroyed: the threads that hold a grace may outlive every static object.
Held& held() {
  static Held* const instance = [] {
    std::atexit(wait_at_exit);
    return new Held;
  }();
  return *instance;
}

void wait_at_exit() {
  Held& all = held();
  MutexLock lock(all.mutex);
  const SteadyTime latest = std::chrono::steady_clock::now() + all.longest;
  while (all.count > 0 && all.changed.wait_until(lock, latest) != std::cv_status::timeout) {
  }
}

}  // namespace

ExitGrace::ExitGrace() {
  Held& all = held();
  const MutexLock lock(all.mutex);
  ++all.count;
}

ExitGrace::~ExitGrace() {
  Held& all = held();
  const MutexLock lock(all.mutex);
  --all.count;
  all.changed.notify_all();
}

void ExitGrace::set_longest(Duration span) noexcept {
  Held& all = held();
  const MutexLock lock(all.mutex);
  all.longest = span;
}

}  // namespace weir
