#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace weir::queue {

/// A row of weir.queue as people see it and set it.
struct QueueConfig {
  struct Rate {
    std::int32_t jobs = 1;
    Duration period = std::chrono::seconds(1);
    friend bool operator==(const Rate&, const Rate&) = default;
  };

  std::int32_t id = 0;
  std::string name;
  bool paused = false;
  bool relaxed = false;
  int max_attempts = 25;
  Duration backoff = std::chrono::seconds(1);
  Duration backoff_cap = std::chrono::hours(1);
  std::optional<Duration> timeout;
  std::optional<std::int32_t> keep_days;
  std::optional<std::int32_t> keep_dead_days;  ///< nothing: until somebody drops them
  std::optional<std::int32_t> max_running;
  std::optional<std::int32_t> max_per_key;
  std::optional<Rate> rate;
};

/// The settings by name, in the order in which they are shown, as they are written: "none" where a limit is
/// off, "forever" where dead letters have none.
std::vector<std::pair<std::string_view, std::string>> to_words(const QueueConfig& config);

/// Takes "rate=100/s". Pure. Throws the usage error that says what was probably meant, or what the value may
/// be.
void set_word(QueueConfig& config, std::string_view word);
/// What settings do not say one by one.
void check_config(const QueueConfig& config);

/// 1 to 100 characters, none of them a control character. Throws the usage error.
void check_queue_name(std::string_view name);

}  // namespace weir::queue
