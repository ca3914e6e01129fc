#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "pg/conninfo.h"

namespace weir::group {

/// The same groups and the same batches, with one way of using connections. All of it but `refused` is read
/// from the server, in the same way for each.
struct GroupsDemoWay {
  std::string name;
  Duration lasted{};
  std::int64_t batches = 0;  ///< whose end was accepted
  std::int64_t twice = 0;    ///< effects beyond the first of their batch
  std::int64_t refused = 0;  ///< ends that came after the group was lost
  std::int64_t taken = 0;    ///< batches that were taken from an owner who was alive
  /// The longest that a group in work, other than the one that is blocked, gave no sign of life.
  Duration silence{};
  /// The longest that no batch of any group ended well.
  Duration standstill{};
  std::int64_t connections = 0;  ///< at most at a time
  /// Ends that were accepted, in each slot of `kSlot`.
  std::vector<std::int64_t> timeline{};
  /// When somebody held the row, from the beginning of this way on. The last one may go on: its end is zero.
  std::vector<std::pair<Duration, Duration>> blocked{};

  static constexpr Duration kSlot = std::chrono::milliseconds(250);
};

struct GroupsDemoOptions {
  int groups = 8;                            ///< all of them in work at a time
  Duration each = std::chrono::seconds(16);  ///< of each way; twice for a quarter of it the row is locked
  Duration work = std::chrono::milliseconds(40);  ///< what a batch takes
  std::function<void(std::string_view)> on_step = [](std::string_view) {};
  /// Several times a second: the ways so far, the last of which goes on.
  std::function<void(std::span<const GroupsDemoWay>)> on_frame = [](std::span<const GroupsDemoWay>) {};
  std::stop_token stop{};

  /// Half as long as the row is locked: who is silent for all of that time has lost what he had.
  [[nodiscard]] Duration blocked() const noexcept { return each / 4; }
  [[nodiscard]] Duration lease() const noexcept { return blocked() / 2; }
};

/// Groups of batches whose tasks, heartbeats and poll loop share one connection, and Weir's consumer with the
/// same groups, while somebody else holds a row that one of them needs. Makes a database of its own, and
/// drops it whatever happens.
std::vector<GroupsDemoWay> run_groups_demo(const pg::Conninfo& server, const GroupsDemoOptions& options);

}  // namespace weir::group
