#include "cli/queue_table.h"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const queue::Counted& counted) {
  return {{"count", counted.count}, {"more", counted.more}};
}

ordered_json to_json(const std::optional<queue::Quantiles>& times) {
  if (!times) return {};
  return {{"p50", to_seconds(times->p50)}, {"p99", to_seconds(times->p99)}};
}

std::string to_text(const std::optional<queue::Quantiles>& times) {
  if (!times) return "";
  return fmt::format("{} / {}", human_duration(times->p50), human_duration(times->p99));
}

/// A few dead letters are news; many are a heap, whose age tells whether anybody looks at them.
std::string dead_text(const queue::QueueFigures& queue) {
  constexpr std::int64_t kMany = 1000;
  if (queue.dead.count < kMany || !queue.oldest_dead) return queue.dead.text();
  return fmt::format("{} ({})", queue.dead.text(), human_duration(*queue.oldest_dead));
}

double rounded(double rate) { return std::round(rate * 10) / 10; }

}  // namespace

std::string rate_text(double rate) {
  if (rate < 0.05) return "";
  if (rate < 10) return fmt::format("{:.1f}/s", rate);
  return human_count(std::llround(rate)) + "/s";
}

std::string queues_text(const std::vector<queue::QueueFigures>& queues, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"queue"},
               {"waiting", right},
               {"running", right},
               {"later", right},
               {"dead", right},
               {"done", right},
               {"done/s", right},
               {"failed/s", right},
               {"oldest", right},
               {"wait p50 / p99", right},
               {"run p50 / p99", right}});
  for (const queue::QueueFigures& queue : queues) {
    const std::string name = queue.paused ? queue.name + " (paused)" : queue.name;
    const bool any_dead = queue.dead.count > 0;
    table.add({Table::Cell(name, queue.paused ? Color::yellow : Color::plain), queue.waiting.text(),
               human_count(queue.running), queue.later.text(),
               Table::Cell(dead_text(queue), any_dead ? Color::red : Color::plain), human_count(queue.done),
               rate_text(queue.done_rate), Table::Cell(rate_text(queue.failed_rate), Color::red),
               queue.oldest ? human_duration(*queue.oldest) : "", to_text(queue.wait), to_text(queue.run)});
  }
  return table.render(paint);
}

ordered_json queues_json(const std::vector<queue::QueueFigures>& queues) {
  ordered_json all = ordered_json::array();
  for (const queue::QueueFigures& queue : queues) {
    const auto oldest = queue.oldest ? ordered_json(to_seconds(*queue.oldest)) : ordered_json();
    all.push_back({{"queue", queue.name},
                   {"paused", queue.paused},
                   {"waiting", to_json(queue.waiting)},
                   {"running", queue.running},
                   {"later", to_json(queue.later)},
                   {"dead", to_json(queue.dead)},
                   {"oldest_dead_seconds",
                    queue.oldest_dead ? ordered_json(to_seconds(*queue.oldest_dead)) : ordered_json()},
                   {"done", queue.done},
                   {"failed", queue.failed},
                   {"done_per_second", rounded(queue.done_rate)},
                   {"failed_per_second", rounded(queue.failed_rate)},
                   {"oldest_seconds", oldest},
                   {"wait_seconds", to_json(queue.wait)},
                   {"run_seconds", to_json(queue.run)}});
  }
  return all;
}

}  // namespace weir::cli
