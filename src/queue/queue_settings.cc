#include "queue/queue_settings.h"

namespace weir::queue {
namespace {

Duration from_ms(std::int64_t ms) { return std::chrono::milliseconds(ms); }

}  // namespace

std::shared_ptr<const QueueSettings> to_queue_settings(const sql::QueueSettings::Row& row) {
  auto settings = std::make_shared<QueueSettings>();
  settings->id = row.id;
  settings->name = row.name;
  settings->paused = row.paused;
  settings->relaxed = row.relaxed;
  settings->limited = row.limited;
  settings->keeps_history = row.keeps_history;
  settings->backoff = {.base = from_ms(row.backoff_ms), .cap = from_ms(row.backoff_cap_ms)};
  if (row.timeout_ms) settings->timeout = from_ms(*row.timeout_ms);
  if (row.rate_ms) settings->rate = from_ms(*row.rate_ms);
  return settings;
}

}  // namespace weir::queue
