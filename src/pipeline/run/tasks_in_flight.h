#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "pipeline/run/task_attempt.h"

namespace weir::pipeline {

/// The attempts that this process has begun and not settled, by the id of their item. Any thread.
class TasksInFlight {
 public:
  std::shared_ptr<TaskAttempt> add(TaskAttempt attempt) {
    const MutexLock lock(mutex_);
    attempt.id = ++last_;
    auto shared = std::make_shared<TaskAttempt>(std::move(attempt));
    attempts_.emplace(last_, shared);
    return shared;
  }
  /// Null when it is not, or no more.
  [[nodiscard]] std::shared_ptr<TaskAttempt> find(std::int64_t id) const {
    const MutexLock lock(mutex_);
    const auto found = attempts_.find(id);
    return found == attempts_.end() ? nullptr : found->second;
  }
  void forget(std::int64_t id) {
    const MutexLock lock(mutex_);
    attempts_.erase(id);
  }
  [[nodiscard]] std::vector<std::shared_ptr<const TaskAttempt>> all() const {
    const MutexLock lock(mutex_);
    std::vector<std::shared_ptr<const TaskAttempt>> all;
    for (const auto& [id, attempt] : attempts_) all.push_back(attempt);
    return all;
  }

 private:
  mutable Mutex mutex_;
  std::int64_t last_ WEIR_GUARDED_BY(mutex_) = 0;
  std::map<std::int64_t, std::shared_ptr<TaskAttempt>> attempts_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::pipeline
