#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace weir::queue {

/// What one process remembers of the rows that failed: the table has no place for it. Shared by its workers;
/// a key is a row's identity as text. Another process knows nothing of it and counts for itself.
class AdoptRetries {
 public:
  struct Options {
    int max_attempts = 5;
    BackoffPolicy backoff{.base = std::chrono::seconds(1), .cap = std::chrono::minutes(5)};
    const Clock* clock = &Clock::system();
  };
  /// More failing rows than this are no bad rows but a bad handler.
  static constexpr std::size_t kMost = 10'000;

  explicit AdoptRetries(Options options) : options_(options) {}

  struct Past {
    int attempts = 0;
    std::string error;
    bool held_back = false;  ///< it waits, or was given up
  };
  [[nodiscard]] Past past(const std::string& key) const;

  /// Whether one more failure is the last.
  [[nodiscard]] bool would_give_up(const std::string& key) const;
  /// `delay` where the handler named one; `final` when it does not want another attempt.
  void failed(const std::string& key, const std::string& error, std::optional<Duration> delay, bool final);
  /// Not now; the attempt does not count.
  void later(const std::string& key, Duration delay);
  void forget(const std::string& key);

  /// The rows that are not to be claimed now.
  [[nodiscard]] std::vector<std::string> held_back() const;
  [[nodiscard]] std::vector<std::string> given_up() const;
  /// How many failed and will be tried again.
  [[nodiscard]] std::size_t waiting() const;
  /// Until the next one may be tried again; nothing when none waits.
  [[nodiscard]] std::optional<Duration> next_due() const;
  /// Throws, with the error of one of them, when there are more than kMost.
  void check_size() const;
  [[nodiscard]] int max_attempts() const noexcept { return options_.max_attempts; }

 private:
  struct Entry {
    int attempts = 0;
    std::string error;
    SteadyTime due{};
    bool given_up = false;

    [[nodiscard]] bool is_held_back(SteadyTime now) const noexcept { return given_up || due > now; }
  };

  const Options options_;
  mutable Mutex mutex_;
  std::unordered_map<std::string, Entry> entries_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::queue
