#include "pg/pinned_session.h"

#include <utility>

namespace weir::pg {

PinnedSession PinnedSession::open(const Connector& connector, Role role, std::string_view id,
                                  const Limit& limit, OnLoss on_loss) {
  return {connector.connect(role, id, limit), std::move(on_loss)};
}

PinnedSession::PinnedSession(Session session, OnLoss on_loss)
    : session_(std::move(session)), on_loss_(std::move(on_loss)) {}

bool PinnedSession::check() {
  if (!session_.is_open()) return false;
  if (session_.still_alive()) return true;
  session_.close();
  report_loss(ConnectionLost({.kind = ErrorKind::lost, .message = "the server closed a pinned session"}));
  return false;
}

void PinnedSession::report_loss(const Error& reason) {
  // Taken out first: once, also when the handler itself uses the session.
  if (const OnLoss on_loss = std::exchange(on_loss_, nullptr)) on_loss(reason);
}

}  // namespace weir::pg
