#pragma once

#include <cstddef>
#include <memory>

#include "pg/connector.h"
#include "pg/pooler.h"

namespace weir::work {

/// A connector for work: behind a pooler nothing is prepared and nobody can be woken, which is
/// said once.
struct WorkConnector {
  std::shared_ptr<const pg::Connector> connector;
  bool can_be_woken = true;
  pg::Pooling pooling = pg::Pooling::none;  ///< for who refuses to work through one
};
WorkConnector connector_for_work(std::shared_ptr<const pg::Connector> connector, const pg::Limit& limit = {});

/// Sessions of a runtime that look for work and settle it.
inline constexpr int kPollSessions = 2;

/// Refuses, with the arithmetic, what the server could never grant: a runtime's own sessions, and one for
/// each of its slots that works within a transaction. Whoever looks for work beside the runtime says how many
/// do in all. Not asked behind a pooler, which has limits of its own.
void require_connections(pg::Session& session, std::size_t task_sessions, int poll_sessions = kPollSessions);

/// Limits are counted by a statement after the lock: under another isolation it would count the past. The
/// connector asks for it; a pooler may not pass it on.
void require_read_committed(pg::Session& session);

}  // namespace weir::work
