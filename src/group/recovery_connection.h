#pragma once

#include <cstddef>

#include "group/rest.h"
#include "group/sink_definition.h"
#include "pg/pinned_session.h"

namespace weir::group {

/// The connection of the sweeps, and of nothing else. Each sweep is done by one consumer of the fleet at a
/// time; each of its writes is made only on what it saw, under the row's lock.
class RecoveryConnection {
 public:
  static RecoveryConnection open(const pg::Connector& connector, std::string_view id, const pg::Limit& limit);

  struct Swept {
    std::int64_t groups = 0;  ///< that are free again
    std::int64_t failed = 0;  ///< runs
  };
  /// Takes groups from owners that are gone, and hangs up on those that are frozen; also on consumers of any
  /// sink that are frozen in their sleep, and have not looked for `frozen_listener`.
  Swept recover(const SinkDefinition& sink, Duration frozen_listener = kFrozenListener);
  /// Runs whose next batch never came; days to come, days that are past.
  Swept keep(const SinkDefinition& sink);

  [[nodiscard]] bool is_open() const noexcept { return session_.is_open(); }

 private:
  explicit RecoveryConnection(pg::PinnedSession session) noexcept : session_(std::move(session)) {}

  pg::PinnedSession session_;
};

}  // namespace weir::group
