#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "pg/session.h"
#include "stream/stream_definition.h"

namespace weir::stream {

struct NewStream {
  std::string name;  ///< of the table, as SQL would read it: events, app.events
  Duration span = std::chrono::hours(24);
  int ahead = 3;  ///< partitions made ahead of the present one
  std::optional<Duration> retain;
  std::optional<std::int64_t> retain_bytes;
  Duration hold = std::chrono::hours(24 * 7);  ///< see Retention
  bool needs_key = false;                      ///< an event without one is refused
  bool with_default = false;  ///< a partition for all other times; it makes others slower to come and go
  std::int64_t chunk_events = 1000;
};

/// Makes the table of a stream, its first partitions and what Weir knows of it, all or nothing. Throws Error
/// when something of that name is there.
StreamDefinition create_stream(pg::Session& session, const NewStream& stream);

/// Throws Error with the names there are.
StreamDefinition find_stream(pg::Session& session, const std::string& name);

}  // namespace weir::stream
