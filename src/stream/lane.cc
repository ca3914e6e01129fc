#include "stream/lane.h"

#include <utility>

namespace weir::stream {
namespace {

bool holds(const Chunk& chunk, const Place& place) {
  // Those of late transactions have lower numbers than all others of their unit.
  return chunk.slice ? place.event <= chunk.slice->last : place.xid < chunk.to;
}

}  // namespace

std::vector<LaneUnit> lane_units(std::vector<LaneChunk> chunks, std::int32_t lanes, std::int64_t events) {
  std::vector<LaneUnit> units;
  bool was_partial = false;
  for (LaneChunk& next : chunks) {
    const bool apart =
        std::exchange(was_partial, next.partial) || next.partial || units.empty() || !next.chunk.late.empty();
    std::optional<Chunk> both;
    if (!apart && (units.back().whole.events + next.chunk.events) / lanes <= events)
      both = joined(units.back().whole, next.chunk);
    if (!both) {
      Chunk whole = next.chunk;
      units.push_back({{}, std::move(whole)});
    } else {
      units.back().whole = *std::move(both);
    }
    units.back().chunks.push_back(std::move(next.chunk));
  }
  return units;
}

GroupWork lane_work(const LaneUnit& unit, const Lane& lane, std::int32_t lanes) {
  GroupWork work{unit.whole};
  work.lane = LanePart{.lane = lane.lane,
                       .lanes = lanes,
                       .after = {},
                       .failed_event = lane.failed_event,
                       .failed = lane.attempt};
  if (lane.position.part_chunk == unit.chunks.front().number) work.lane->after = lane.position.part;
  return work;
}

LanePosition position_at(const LaneUnit& unit, const Place& place) {
  for (const Chunk& chunk : unit.chunks) {
    if (holds(chunk, place))
      return {.done_chunk = chunk.number - 1, .part_chunk = chunk.number, .part = place};
  }
  return position_behind(unit);
}

LanePosition position_behind(const LaneUnit& unit) { return {.done_chunk = unit.chunks.back().number}; }

}  // namespace weir::stream
