#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/backoff.h"
#include "base/clock.h"
#include "schema/queries/jobs.h"

namespace weir::queue {

/// A row of weir.queue, as far as workers need it.
struct QueueSettings {
  std::int32_t id = 0;
  std::string name;
  bool paused = false;
  bool relaxed = false;
  bool limited = false;
  bool keeps_history = false;
  BackoffPolicy backoff{};
  std::optional<Duration> timeout;
  std::optional<Duration> rate;  ///< the mean time between two starts that its rate limit allows

  [[nodiscard]] std::string topic() const { return "job:" + std::to_string(id); }
};

std::shared_ptr<const QueueSettings> to_queue_settings(const sql::QueueSettings::Row& row);

}  // namespace weir::queue
