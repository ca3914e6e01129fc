#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cli/term/paint.h"
#include "queue/figures.h"

namespace weir::cli {

/// `weir job stats` and `weir top`.
std::string queues_text(const std::vector<queue::QueueFigures>& queues, const Paint& paint);
nlohmann::ordered_json queues_json(const std::vector<queue::QueueFigures>& queues);

/// "1,234/s", "0.4/s"; empty for nothing.
std::string rate_text(double rate);

}  // namespace weir::cli
