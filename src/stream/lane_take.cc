#include "stream/lane_take.h"

#include <utility>

#include "schema/queries/streams_lanes.h"
#include "stream/chunk_row.h"

namespace weir::stream {
namespace {

template <class Rows>
std::optional<Lane> lane_of(const Rows& rows) {
  if (rows.empty()) return std::nullopt;
  const auto row = rows.one();
  Lane lane{.lane = row.lane,
            .position = {.done_chunk = row.done_chunk, .part_chunk = row.part_chunk},
            .since = row.since,
            .since_upto = row.since_upto,
            .failed_event = row.failed_event,
            .attempt = row.attempt,
            .most = row.most,
            .killed = row.killed,
            .newest = row.newest};
  if (row.part_xid && row.part_event) lane.position.part = {.xid = *row.part_xid, .event = *row.part_event};
  return lane;
}

}  // namespace

std::optional<Lane> take_lane(pg::Session& session, const GroupDefinition& group,
                              const std::vector<std::int64_t>& but) {
  return lane_of(session.run<sql::TakeStreamLane>(group.id, group.stream_id, but));
}

std::optional<Lane> claim_lane(pg::Session& session, const GroupDefinition& group, ClaimName claim,
                               std::size_t events, const std::vector<std::int64_t>& but) {
  return lane_of(session.run<sql::ClaimStreamLane>(claim.process, claim.number, group.id, group.stream_id,
                                                   static_cast<std::int32_t>(events), but));
}

LaneAhead look_ahead(pg::Session& session, const GroupDefinition& group, const Lane& lane, std::size_t chunks,
                     std::int64_t events) {
  LaneAhead ahead;
  std::vector<LaneChunk> found;
  const auto rows = session.run<sql::StreamLaneChunks>(group.stream_id, lane.position.done_chunk, lane.since,
                                                       lane.since_upto, static_cast<std::int32_t>(chunks));
  for (const auto& row : rows) {
    ++ahead.chunks;
    ahead.events += row.events;
    found.push_back({chunk_of(row), row.since.has_value()});
  }
  ahead.ends = ahead.chunks < static_cast<std::int64_t>(chunks);
  ahead.units = lane_units(std::move(found), group.lanes, events);
  return ahead;
}

}  // namespace weir::stream
