#include "base/service.h"

namespace weir {

void ServiceGroup::add(Service& service) {
  const MutexLock lock(mutex_);
  members_.push_back(&service);
}

void ServiceGroup::start() {
  const MutexLock lock(mutex_);
  {
    const MutexLock progress(progress_);
    stop_wanted_ = false;
  }
  try {
    for (; started_ < members_.size() && begin_to_start(members_[started_]); ++started_)
      members_[started_]->start();
  } catch (...) {
    begin_to_start(nullptr);
    stop_started();
    throw;
  }
  if (!begin_to_start(nullptr)) stop_started();
}

bool ServiceGroup::begin_to_start(Service* member) {
  const MutexLock progress(progress_);
  starting_ = stop_wanted_ ? nullptr : member;
  return !stop_wanted_;
}

void ServiceGroup::stop() noexcept {
  Service* starting = nullptr;
  {
    const MutexLock progress(progress_);
    stop_wanted_ = true;
    starting = starting_;
  }
  if (starting != nullptr) starting->stop();
  const MutexLock lock(mutex_);
  stop_started();
}

void ServiceGroup::stop_started() noexcept {
  while (started_ > 0) members_[--started_]->stop();
}

}  // namespace weir
