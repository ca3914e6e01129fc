#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "pg/session.h"

namespace weir::queue {

/// All that is known of a job, wherever it is.
struct JobView {
  std::int64_t id = 0;
  std::string queue;
  std::string state;   ///< running, waiting, later, dead, done, cancelled
  std::string reason;  ///< why it is there and not done, for people; empty where the state says it all
  std::string kind;
  std::optional<int> priority;
  int attempt = 0;
  std::optional<int> max_attempts;
  WallTime created_at{};
  std::optional<WallTime> started_at;
  std::optional<WallTime> at;  ///< due, died, ended
  std::optional<WallTime> deadline;
  std::optional<std::string> unique_key;
  std::optional<std::string> limit_key;
  std::optional<std::string> error;
  std::optional<std::string> payload;  ///< JSON text
  std::optional<std::string> result;   ///< JSON text
  std::optional<std::int64_t> worker;
  std::optional<std::string> worker_name;
  bool stopping = false;  ///< somebody asked to cancel it
  std::optional<double> progress;
  std::optional<std::string> note;
};

std::optional<JobView> view_job(pg::Session& session, std::int64_t id);

/// What holds a job back that could run by now.
struct WaitingFacts {
  bool paused = false;
  std::optional<std::int64_t> max_running;
  std::int64_t running = 0;
  std::optional<std::int64_t> max_per_key;
  std::int64_t running_of_key = 0;
  std::optional<std::int64_t> rate_limit;
  std::int64_t started = 0;  ///< within the rate's period
  std::int64_t ahead = 0;    ///< jobs that are claimed before it, counted up to kMostAhead
  std::int64_t workers = 0;  ///< processes that listen for the queue
  static constexpr std::int64_t kMostAhead = 10'000;
};
/// Pure.
std::string waiting_reason(const WaitingFacts& facts, const std::string& queue,
                           const std::optional<std::string>& limit_key);

}  // namespace weir::queue
