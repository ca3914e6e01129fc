#include "base/service.h"

namespace weir {

void ServiceGroup::add(Service& service) {
  const MutexLock lock(mutex_);
  members_.push_back(&service);
}

void ServiceGroup::start() {
  const MutexLock lock(mutex_);
  try {
    for (; started_ < members_.size(); ++started_) members_[started_]->start();
  } catch (...) {
    stop_started();
    throw;
  }
}

void ServiceGroup::stop() noexcept {
  const MutexLock lock(mutex_);
  stop_started();
}

void ServiceGroup::stop_started() noexcept {
  while (started_ > 0) members_[--started_]->stop();
}

}  // namespace weir
