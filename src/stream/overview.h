#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pg/session.h"
#include "stream/partition_keeper.h"
#include "stream/retention.h"
#include "stream/stream_definition.h"

// What is to be told about streams. Nothing here changes anything.

namespace weir::stream {

struct StreamLine {
  std::string name;
  std::string schema;
  std::string table;
  int groups = 0;
  int partitions = 0;
  std::optional<std::int64_t> bytes;  ///< nothing: its table is gone
  std::optional<WallTime> oldest_at;  ///< of the events that were cut
  std::optional<WallTime> newest_at;
  std::optional<std::int64_t> waiting;  ///< before the group that is furthest behind
};
std::vector<StreamLine> list_streams(pg::Session& session);

/// How far a group is. Events are counted as they were cut: those that were deleted since count, too.
struct GroupFigures {
  std::int32_t id = 0;
  std::string name;
  bool paused = false;
  int max_attempts = 0;
  Duration backoff{};
  Duration backoff_cap{};
  int consumers = 0;  ///< processes
  std::int64_t chunks = 0;
  std::int64_t events = 0;   ///< of those chunks, that wait
  std::int64_t claimed = 0;  ///< that processes have under their leases
  std::int64_t again = 0;    ///< that failed and are tried again
  std::int64_t dead = 0;
  std::int64_t lost = 0;        ///< that retention took away before
  std::optional<Duration> lag;  ///< since the oldest of its chunks was cut; nothing when it has none
  std::optional<WallTime> oldest_at;
  int lanes = 0;  ///< that keep it in order; then its lag is that of the slowest, and `events` is reckoned
};
std::vector<GroupFigures> group_figures(pg::Session& session, const StreamDefinition& stream,
                                        std::optional<std::int32_t> only = {});

/// A lane of a group that is kept in order: the slowest one, or one that stays at an event that failed.
struct LaneFigures {
  std::string group;
  int lane = 0;
  bool slowest = false;
  std::int64_t chunks = 0;  ///< that it has not had
  std::optional<Duration> lag;
  std::optional<std::int64_t> failed_event;
  int attempts = 0;
  std::optional<WallTime> retry_at;
  std::string error;
};
std::vector<LaneFigures> lane_figures(pg::Session& session, const StreamDefinition& stream, WallTime now);

/// Committed events that no cut has had, counted to a limit.
struct Uncut {
  std::int64_t events = 0;
  bool more = false;
};
/// Nothing where it cannot be told: who asks may not read the table, or the stream is of another server.
std::optional<Uncut> count_uncut(pg::Session& session, const StreamDefinition& stream);

/// A partition that retention takes next, and who holds it up.
struct Leaving {
  Expired partition;
  std::vector<Held> held;
};

struct StreamOverview {
  WallTime created_at{};
  WallTime now{};
  std::optional<Duration> span;  ///< nothing: its partitions are somebody else's
  int ahead = 0;
  Retention retention;
  bool here = true;  ///< not brought here from another server, by a dump or an upgrade
  std::int64_t cuts = 0;
  WallTime cut_at{};  ///< of the last one
  std::int64_t chunks = 0;
  std::optional<WallTime> oldest_at;
  std::optional<WallTime> newest_at;
  std::optional<Uncut> uncut;
  std::vector<Partition> partitions;
  std::vector<std::string> detached;  ///< partitions on their way out
  std::vector<Leaving> leaving;
  std::vector<GroupFigures> groups;
  std::vector<LaneFigures> lanes;
};
/// Throws Error when the table is gone.
StreamOverview overview_of(pg::Session& session, const StreamDefinition& stream);

}  // namespace weir::stream
