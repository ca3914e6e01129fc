#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "stream/chunk.h"
#include "stream/group_work.h"
#include "stream/lane_part.h"

// How a lane goes through the chunks of its stream. Pure.

namespace weir::stream {

/// What is done: all of the chunks up to one, and of the next the events up to a place.
struct LanePosition {
  std::int64_t done_chunk = 0;
  std::optional<std::int64_t> part_chunk{};
  Place part{};

  friend bool operator==(const LanePosition&, const LanePosition&) = default;
};

/// A lane that was taken: a row of weir.stream_lane.
struct Lane {
  std::int32_t lane = 0;
  LanePosition position{};
  std::optional<WallTime> since{};  ///< of chunks up to `since_upto`: only events from then on
  std::optional<std::int64_t> since_upto{};
  std::optional<std::int64_t> failed_event{};
  int attempt = 0;                     ///< at that event
  std::optional<std::int32_t> most{};  ///< events at a time, where one of them may kill
  int killed = 0;
  std::int64_t newest = 0;  ///< chunks up to this one could be seen when it was taken
};

/// Of a stream's chunks, one that a lane comes to.
struct LaneChunk {
  Chunk chunk;
  bool partial = false;  ///< only its events from some time on
};

/// Chunks that are read as one. In it events are ordered by (xid, event), and that order is the one of its
/// chunks: what was read up to a place is all of some chunks, and a part of the one behind them.
struct LaneUnit {
  std::vector<Chunk> chunks;
  Chunk whole;
};

/// That a lane is taken through at once; the query stream_blockers counts on it.
inline constexpr std::size_t kMostLaneChunks = 64;

/// Neighbours are put together up to about `events` events of a lane. A chunk with late transactions begins a
/// unit of its own: their numbers lie among those of the chunks before.
std::vector<LaneUnit> lane_units(std::vector<LaneChunk> chunks, std::int32_t lanes, std::int64_t events);

/// What of a unit is before the lane.
GroupWork lane_work(const LaneUnit& unit, const Lane& lane, std::int32_t lanes);

/// Where a lane is that has done the unit's events up to a place, or all of them.
LanePosition position_at(const LaneUnit& unit, const Place& place);
LanePosition position_behind(const LaneUnit& unit);

}  // namespace weir::stream
