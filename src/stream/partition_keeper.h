#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pg/session.h"
#include "stream/retention.h"
#include "stream/stream_definition.h"

namespace weir::stream {

/// An expired partition that stays because a group has not had it yet.
struct Held {
  std::string partition;
  std::string group;
  std::int64_t events = 0;
};

struct KeepReport {
  std::vector<std::string> made;
  std::vector<std::string> dropped;
  std::vector<Held> held;
  std::vector<std::string> busy;  ///< whose lock was not to be had: tried again next time
  std::int64_t lost = 0;          ///< events that groups lose with what was dropped
};

std::vector<Partition> partitions_of(pg::Session& session, const StreamDefinition& stream);

/// Makes the partitions that will be needed and drops those that are not any more, each in transactions of
/// its own, for whose locks nobody who reads or writes the stream waits longer than a moment. Who dies in the
/// middle leaves a state that the next one goes on from. The session's user has to own the table. Not for a
/// stream whose partitions are somebody else's.
KeepReport keep_partitions(pg::Session& session, const StreamDefinition& stream);

}  // namespace weir::stream
