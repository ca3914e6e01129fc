#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pg/session.h"
#include "stream/stream_definition.h"

namespace weir::stream {

/// An event as it is shown.
struct SeenEvent {
  std::int64_t id = 0;
  std::string xid;
  WallTime at{};
  std::optional<std::string> key;
  std::string payload;  ///< JSON; where the table's is of another type, as a JSON text
};

struct Peek {
  std::int64_t most = 10;
  std::optional<std::string> key;  ///< only events with it: there is no index for that
};

/// The newest events first, by the transactions that wrote them.
std::vector<SeenEvent> peek_newest(pg::Session& session, const StreamDefinition& stream, const Peek& peek);

/// What the group gets next, as it stands. Looks at no more than kMostPeeked chunks.
std::vector<SeenEvent> peek_before(pg::Session& session, const StreamDefinition& stream, std::int32_t group,
                                   const Peek& peek);
inline constexpr int kMostPeeked = 100;

}  // namespace weir::stream
