#include "queue/adopt_retries.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::queue {

AdoptRetries::Past AdoptRetries::past(const std::string& key) const {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return {};
  const Entry& entry = found->second;
  return {.attempts = entry.attempts,
          .error = entry.error,
          .held_back = entry.is_held_back(options_.clock->steady())};
}

bool AdoptRetries::would_give_up(const std::string& key) const {
  return past(key).attempts + 1 >= options_.max_attempts;
}

void AdoptRetries::failed(const std::string& key, const std::string& error, std::optional<Duration> delay,
                          bool final) {
  const MutexLock lock(mutex_);
  Entry& entry = entries_[key];
  ++entry.attempts;
  entry.error = error;
  entry.given_up = final || entry.attempts >= options_.max_attempts;
  entry.due = options_.clock->steady() +
              delay.value_or(backoff_delay(options_.backoff, entry.attempts, random_unit()));
}

void AdoptRetries::later(const std::string& key, Duration delay) {
  const MutexLock lock(mutex_);
  entries_[key].due = options_.clock->steady() + delay;
}

void AdoptRetries::forget(const std::string& key) {
  const MutexLock lock(mutex_);
  entries_.erase(key);
}

std::vector<std::string> AdoptRetries::held_back() const {
  const MutexLock lock(mutex_);
  const SteadyTime now = options_.clock->steady();
  std::vector<std::string> keys;
  for (const auto& [key, entry] : entries_) {
    if (entry.is_held_back(now)) keys.push_back(key);
  }
  return keys;
}

std::vector<std::string> AdoptRetries::given_up() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, entry] : entries_) {
    if (entry.given_up) keys.push_back(key);
  }
  return keys;
}

std::size_t AdoptRetries::waiting() const {
  const MutexLock lock(mutex_);
  std::size_t count = 0;
  for (const auto& [key, entry] : entries_) count += entry.given_up ? 0U : 1U;
  return count;
}

std::optional<Duration> AdoptRetries::next_due() const {
  const MutexLock lock(mutex_);
  std::optional<SteadyTime> first;
  for (const auto& [key, entry] : entries_) {
    if (!entry.given_up && (!first || entry.due < *first)) first = entry.due;
  }
  if (!first) return std::nullopt;
  return std::max(*first - options_.clock->steady(), Duration::zero());
}

void AdoptRetries::check_size() const {
  const MutexLock lock(mutex_);
  if (entries_.size() <= kMost) return;
  throw Error(ExitCode::failed,
              fmt::format("more than {} rows failed, which looks like a defect of the handler; one of them "
                          "says: {}",
                          kMost, elide(entries_.begin()->second.error, 300)),
              "Mend the handler and start again: rows that failed are not done. With --failed COLUMN their "
              "errors are kept in the table.");
}

}  // namespace weir::queue
