#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "load/demo/figures.h"
#include "pg/connector.h"

namespace weir::load {

/// The same table, replaced in one way again and again while dashboards read it.
struct ReadersDemoWay {
  std::string name;
  Duration lasted{};
  demo::ReadFigures reads{};
  int replacements = 0;
  Duration replacement{};         ///< the longest of them
  std::int64_t wal_bytes = 0;     ///< of one, on average; of all that the server did meanwhile
  std::int64_t growth_bytes = 0;  ///< of the table and its indexes, by all of them together
  std::int64_t rows_written = 0;  ///< of one, on average
  std::string strongest_lock{};   ///< "ROW EXCLUSIVE"
  /// When they were at it, from the beginning of this way on. The last one may go on: its end is zero.
  std::vector<std::pair<Duration, Duration>> spans{};
};

struct ReadersDemoOptions {
  int rows = 300'000;
  int dashboards = 6;
  Duration each = std::chrono::seconds(12);  ///< of each way; a replacement that has begun goes to its end
  Duration slow = std::chrono::seconds(2);   ///< what the one slow query takes
  Duration pause = std::chrono::seconds(1);  ///< between two replacements
  std::function<void(std::string_view)> on_step = [](std::string_view) {};
  /// Several times a second: the ways so far, the last of which goes on.
  std::function<void(std::span<const ReadersDemoWay>)> on_frame = [](std::span<const ReadersDemoWay>) {};
  std::stop_token stop{};
};

/// Makes schema weir_demo in the database, and drops it whatever happens; what a killed demo left is dropped
/// by the next one. The database has Weir's schema. Refused where somebody else's schema has that name, or
/// another demo runs.
std::vector<ReadersDemoWay> run_readers_demo(const std::shared_ptr<const pg::Connector>& connector,
                                             const ReadersDemoOptions& options);

}  // namespace weir::load
