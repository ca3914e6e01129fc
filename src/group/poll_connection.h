#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "group/group_key.h"
#include "group/sink_definition.h"
#include "pg/pinned_session.h"

namespace weir::group {

/// The connection of the poll loop, and of nothing else. It can look; it has no way to lock or to write.
class PollConnection {
 public:
  static PollConnection open(const pg::Connector& connector, std::string_view id, const pg::Limit& limit);

  /// Groups that nobody has and whose next batch can be applied, in the order in which they are to be taken.
  /// Whoever takes one looks again: what is told here may be of the past.
  std::vector<GroupKey> candidates(const SinkDefinition& sink, std::size_t wanted);
  /// Whether anything may still come without anybody submitting more.
  bool work_left(const SinkDefinition& sink);

  [[nodiscard]] bool is_open() const noexcept { return session_.is_open(); }
  [[nodiscard]] int backend_pid() const noexcept { return session_.backend_pid(); }

 private:
  explicit PollConnection(pg::PinnedSession session) noexcept : session_(std::move(session)) {}

  pg::PinnedSession session_;
  std::vector<GroupKey> look(const SinkDefinition& sink, std::size_t wanted);

  std::string last_tenant_;  // where there are more than one look takes in, the next look goes on behind it
  std::map<std::string, std::string> last_keys_;  // of each tenant: the next look goes on behind it
  bool cut_ = false;                              // the last look did not come to a tenant's end
};

}  // namespace weir::group
