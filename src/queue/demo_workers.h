#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pg/conninfo.h"

namespace weir::queue {

struct DemoOptions {
  int events = 20'000;
  int workers = 4;
  Duration longest = std::chrono::seconds(15);  ///< for each way; what is not done by then is left
  std::function<void(std::string_view)> on_step = [](std::string_view) {};
  std::stop_token stop{};
};

/// How one way of working off the events went, as counted in the table of effects.
struct DemoResult {
  std::string name;
  std::int64_t events = 0;
  std::int64_t processed = 0;   ///< events with at least one effect
  std::int64_t duplicates = 0;  ///< effects beyond the first of their event
  std::int64_t lost = 0;  ///< events that are marked as processed, or whose job is gone, without an effect
  Duration span{};
  [[nodiscard]] double rate() const noexcept { return static_cast<double>(processed) / to_seconds(span); }
};

/// The same partitioned table of events, worked off by several workers at a time in three ways. Makes a
/// database of its own on the server, and drops it whatever happens; what a killed demo left is dropped by
/// the next one.
std::vector<DemoResult> run_workers_demo(const pg::Conninfo& server, const DemoOptions& options);

}  // namespace weir::queue
