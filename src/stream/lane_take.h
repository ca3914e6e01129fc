#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pg/session.h"
#include "stream/group_definition.h"
#include "stream/group_take.h"
#include "stream/lane.h"

namespace weir::stream {

/// A lane of the group that has something before it, for as long as the transaction lasts; not one of `but`.
std::optional<Lane> take_lane(pg::Session& session, const GroupDefinition& group,
                              const std::vector<std::int64_t>& but);
/// The same under the lease of a process, with up to `events` events in mind.
std::optional<Lane> claim_lane(pg::Session& session, const GroupDefinition& group, ClaimName claim,
                               std::size_t events, const std::vector<std::int64_t>& but);

/// What a lane comes to next.
struct LaneAhead {
  std::vector<LaneUnit> units;
  std::int64_t chunks = 0;
  std::int64_t events = 0;  ///< in them, of all lanes
  bool ends = false;        ///< behind them there was nothing
};
/// Up to `chunks` chunks; `events` as in lane_units().
LaneAhead look_ahead(pg::Session& session, const GroupDefinition& group, const Lane& lane, std::size_t chunks,
                     std::int64_t events);

}  // namespace weir::stream
