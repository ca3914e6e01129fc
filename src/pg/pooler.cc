#include "pg/pooler.h"

#include "pg/transaction.h"

namespace weir::pg {
namespace {

int server_process(Session& session) {
  return session.execute("SELECT pg_backend_pid()")[0].get<std::int32_t>(0);
}

}  // namespace

Pooling detect_pooling(const Connector& connector, const Limit& limit) {
  Connector::Options options = connector.unprepared().options();
  options.session.stop = limit.stop;
  const Connector unprepared(connector.conninfo(), options);

  Session idle = unprepared.connect(Role::api, "pooler-check", limit);
  const int first = server_process(idle);
  Session busy = unprepared.connect(Role::api, "pooler-check", limit);
  bool shared = false;
  try {
    const Transaction transaction(busy, {.read_only = true});  // a standby refuses any other
    shared = server_process(busy) == first || server_process(idle) != first;
  } catch (const Error& error) {
    // Statement pooling refuses BEGIN. It keeps even less than transaction pooling does.
    if (error.kind() != ErrorKind::server && error.kind() != ErrorKind::lost) throw;
    shared = true;
  }
  if (shared) return Pooling::transaction;
  // A pooler makes up the process number that it tells its clients.
  return first == idle.backend_pid() ? Pooling::none : Pooling::session;
}

void require_session_state(Pooling pooling, std::string_view purpose) {
  if (pooling == Pooling::none) return;
  const std::string_view found =
      pooling == Pooling::transaction
          ? "in transaction mode, where two statements may meet two server processes"
          : "that looks as if in session mode, as one in transaction mode does when it is busy: two "
            "statements "
            "might meet two server processes";
  throw weir::Error(ExitCode::refused,
                    std::string(purpose) +
                        " needs a session of its own, but the connection goes through a pooler " +
                        std::string(found),
                    "Connect to the server itself, if only for this; whatever can work through a pooler does "
                    "so by leases and polling, without being asked to.");
}

void require_session_state(Session& session, const Connector& connector, std::string_view purpose) {
  if (server_process(session) == session.backend_pid()) return;
  require_session_state(detect_pooling(connector, {.stop = session.options().stop}), purpose);
}

}  // namespace weir::pg
