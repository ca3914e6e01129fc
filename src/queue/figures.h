#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "pg/session.h"

namespace weir::queue {

/// A number that was not counted to its end.
struct Counted {
  std::int64_t count = 0;
  bool more = false;  ///< there are more than that, or may be
  /// "1,234", ">10,000"
  [[nodiscard]] std::string text() const;
};

/// Of late; each is at most a quarter more than it was.
struct Quantiles {
  Duration p50{};
  Duration p99{};
};

struct QueueFigures {
  std::string name;
  bool paused = false;
  Counted waiting;
  std::int64_t running = 0;
  Counted later;
  Counted dead;
  std::int64_t done = 0;    ///< since the queue was made
  std::int64_t failed = 0;  ///< attempts
  double done_rate = 0;     ///< a second, of late
  double failed_rate = 0;
  std::optional<Duration> oldest;       ///< age of the oldest job that waits
  std::optional<Duration> oldest_dead;  ///< since its death
  std::optional<Quantiles> wait;  ///< from a job's enqueueing to its begin, but for delayed and repeated ones
  std::optional<Quantiles> run;   ///< from its begin to the end of its batch
};
/// All queues where no names are given. Counts end at kMostCounted.
std::vector<QueueFigures> queue_figures(pg::Session& session, const std::vector<std::string>& names = {});
inline constexpr std::int64_t kMostCounted = 10'000;

struct ProcessFigures {
  std::int64_t id = 0;
  std::string name;
  bool dead = false;
  Duration lease{};  ///< what is left of it
  std::int64_t running = 0;
  std::int64_t done = 0;
  std::int64_t failed = 0;
  double done_rate = 0;
};
std::vector<ProcessFigures> process_figures(pg::Session& session);

}  // namespace weir::queue
