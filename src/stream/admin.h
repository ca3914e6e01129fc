#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pg/session.h"
#include "stream/stream_definition.h"

// What people do with streams and their groups, for `weir stream`. Every function uses a session outside of
// any transaction.

namespace weir::stream {

/// Throws Error with the group that was probably meant, or those there are.
std::int32_t find_group(pg::Session& session, const StreamDefinition& stream, const std::string& name);

/// What is before the group from now on: the events from a time on; WallTime::min() all there are, max()
/// none. Answers how many chunks that is. Throws Error while a group is at work that is kept in order.
std::int64_t seek_group(pg::Session& session, std::int32_t group, WallTime from);

/// The events of [from, to) once more, beside what is before the group already. Answers about how many.
/// Throws Error where the group is kept in order: they would come behind later ones.
std::int64_t replay_events(pg::Session& session, const StreamDefinition& stream, std::int32_t group,
                           WallTime from, WallTime to);

struct DeadLetter {
  std::int64_t event = 0;
  WallTime at{};
  WallTime failed_at{};
  int attempts = 0;
  std::string error;
  std::string row;  ///< the event, as JSON
};
/// The youngest first.
std::vector<DeadLetter> dead_letters(pg::Session& session, std::int32_t group, std::int64_t most);
struct Replayed {
  std::int64_t letters = 0;
  std::int64_t events = 0;  ///< different ones: an event that came again may be dead twice
};
/// Those of these events, or all where none are named, as if they had never been tried.
Replayed replay_dead(pg::Session& session, std::int32_t group, std::span<const std::int64_t> events);

/// Whether that changed anything.
bool pause_group(pg::Session& session, std::int32_t group, bool paused);

/// What is not named stays.
struct StreamChange {
  std::optional<int> ahead;
  std::optional<int> chunk_events;
  std::optional<Duration> hold;
  std::optional<std::optional<Duration>> retain;  ///< of nothing: for ever
  std::optional<std::optional<std::int64_t>> retain_bytes;
};
void change_stream(pg::Session& session, const StreamDefinition& stream, const StreamChange& change);

struct GroupChange {
  std::optional<int> max_attempts;
  std::optional<Duration> backoff;
  std::optional<Duration> backoff_cap;
};
/// Throws the usage error when the longest pause would be shorter than the first one.
void change_group(pg::Session& session, const StreamDefinition& stream, std::int32_t group,
                  const GroupChange& change);

/// Throws Error while processes consume for it.
void drop_group(pg::Session& session, const StreamDefinition& stream, std::int32_t group);
/// What Weir knows of it, and the table unless it is kept: that is an ordinary one then. One that was adopted
/// can only be kept, without what was added to it. Throws Error while processes consume it.
void drop_stream(pg::Session& session, const StreamDefinition& stream, bool keep_table);

}  // namespace weir::stream
