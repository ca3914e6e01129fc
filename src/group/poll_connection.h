#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/wait.h"
#include "group/group_key.h"
#include "group/sink_definition.h"
#include "pg/pinned_session.h"
#include "work/undecided.h"

namespace weir::group {

/// The connection of the poll loop, and of nothing else. It can look, and sleep until it is told that a look
/// may be worth while; it has no way to lock a group or to write. The mark by which others see that somebody
/// sleeps is a lock that all sleepers share: it keeps nobody from anything, and goes with the session.
/// models/wakeup.pml: `Worker`.
class PollConnection {
 public:
  static PollConnection open(const pg::Connector& connector, std::string_view id, const pg::Limit& limit);

  /// Groups that nobody has and whose next batch can be applied, in the order in which they are to be taken.
  /// Whoever takes one looks again: what is told here may be of the past.
  std::vector<GroupKey> candidates(const SinkDefinition& sink, std::size_t wanted);
  /// Whether anything may still come without anybody submitting more.
  bool work_left(const SinkDefinition& sink);
  /// Whether the last candidates() has looked at all groups, so that there is none where it found none.
  [[nodiscard]] bool saw_all() const noexcept { return saw_all_; }

  /// From now on we are told of what comes: to be followed by a look for what came before. Not through a
  /// pooler. Where it fails the connection is closed.
  void lie_down(const SinkDefinition& sink);
  [[nodiscard]] bool is_lying() const noexcept { return lies_at_.has_value(); }
  /// While lying: whether all have ended who may have missed us. What they wrote, the next look sees.
  [[nodiscard]] bool decided();
  /// While lying: until we are told, which is true, or the deadline, stop or `other`.
  bool wait(Deadline deadline, const std::stop_token& stop, Wakeup& other);
  /// Nobody need tell us any more. Where it fails the connection is closed.
  void get_up() noexcept;

  [[nodiscard]] bool is_open() const noexcept { return session_.is_open(); }
  [[nodiscard]] int backend_pid() const noexcept { return session_.backend_pid(); }

 private:
  explicit PollConnection(pg::PinnedSession session) noexcept : session_(std::move(session)) {}

  pg::PinnedSession session_;
  std::vector<GroupKey> look(const SinkDefinition& sink, std::size_t wanted);

  std::string last_tenant_;  // where there are more than one look takes in, the next look goes on behind it
  std::map<std::string, std::string> last_keys_;  // of each tenant: the next look goes on behind it
  bool cut_ = false;                              // the last look did not come to a tenant's end
  bool saw_all_ = false;

  bool listens_ = false;
  std::optional<std::int32_t> lies_at_;  // the sink
  work::Undecided undecided_;
};

}  // namespace weir::group
