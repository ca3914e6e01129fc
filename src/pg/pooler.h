#pragma once

#include <string_view>

#include "pg/connector.h"

namespace weir::pg {

/// What stands between a session and the server.
enum class Pooling {
  none,         ///< a direct connection
  session,      ///< a pooler that seems to keep one server process for a client's whole session
  transaction,  ///< a pooler that may hand each transaction to another server process
};

constexpr std::string_view to_string(Pooling pooling) noexcept {
  switch (pooling) {
    case Pooling::none: return "none";
    case Pooling::session: return "session";
    case Pooling::transaction: return "transaction";
  }
  return "unknown";
}

/// Finds out with two sessions: through a transaction pooler, one that is idle and one inside a transaction
/// are served by the same server process, or the first meets another process when it comes back. In a busy
/// pool it may meet the same one again by chance: `session` is a guess, `none` and `transaction` are not.
Pooling detect_pooling(const Connector& connector, const Limit& limit = {});

/// Throws the explanation when session state (advisory locks, LISTEN, temporary tables, prepared statements)
/// could be lost between two statements: only a direct connection is sure to keep it. `purpose` says what it
/// is needed for.
void require_session_state(Pooling pooling, std::string_view purpose);
/// The same where there is a session: one that tells the number of its own server process has no pooler in
/// front of it, and only else two more are opened by `connector` to find out of which kind it is.
void require_session_state(Session& session, const Connector& connector, std::string_view purpose);

}  // namespace weir::pg
