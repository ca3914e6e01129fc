#include "queue/figures.h"

#include <algorithm>

#include "base/text.h"
#include "queue/admin.h"
#include "queue/durations.h"
#include "schema/queries/admin.h"

namespace weir::queue {
namespace {

Counted counted(std::int64_t count, bool more = false) {
  return {std::min(count, kMostCounted), more || count > kMostCounted};
}

std::optional<Quantiles> quantiles(const std::vector<std::int64_t>& steps) {
  const Durations durations(steps);
  if (durations.count() == 0) return std::nullopt;
  return Quantiles{durations.quantile(0.5), durations.quantile(0.99)};
}

}  // namespace

std::string Counted::text() const { return (more ? ">" : "") + human_count(count); }

std::vector<QueueFigures> queue_figures(pg::Session& session, const std::vector<std::string>& names) {
  for (const std::string& name : names) find_queue(session, name);
  const std::vector<std::string_view> views(names.begin(), names.end());
  const auto rows = session.run<sql::QueueFigures>(views, kMostCounted);
  std::vector<QueueFigures> all;
  for (const auto& row : rows) {
    QueueFigures& queue = all.emplace_back();
    queue.name = row.name;
    queue.paused = row.paused;
    queue.waiting = counted(row.waiting);
    queue.running = row.running;
    queue.later = counted(row.later, row.more_later);
    queue.dead = counted(row.dead);
    queue.done = row.done;
    queue.failed = row.failed;
    queue.done_rate = row.done_rate;
    queue.failed_rate = row.failed_rate;
    queue.wait = quantiles(row.waits);
    queue.run = quantiles(row.runs);
    if (row.oldest_seconds) queue.oldest = from_seconds(std::max(0.0, *row.oldest_seconds));
    if (row.oldest_dead_seconds) queue.oldest_dead = from_seconds(std::max(0.0, *row.oldest_dead_seconds));
  }
  return all;
}

std::vector<ProcessFigures> process_figures(pg::Session& session) {
  const auto rows = session.run<sql::ProcessFigures>();
  std::vector<ProcessFigures> all;
  for (const auto& row : rows) {
    all.push_back({.id = row.id,
                   .name = std::string(row.name),
                   .dead = row.dead,
                   .lease = from_seconds(row.lease_seconds),
                   .running = row.running,
                   .done = row.done,
                   .failed = row.failed,
                   .done_rate = row.done_rate});
  }
  return all;
}

}  // namespace weir::queue
