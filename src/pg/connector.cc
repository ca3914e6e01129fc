#include "pg/connector.h"

#include <charconv>
#include <utility>

namespace weir::pg {
namespace {

/// A dead peer is noticed within about half a minute, also while nothing is sent.
Conninfo with_defaults(Conninfo conninfo) {
  conninfo.set_default("keepalives_idle", "10")
      .set_default("keepalives_interval", "5")
      .set_default("keepalives_count", "3")
      .set_default("tcp_user_timeout", "20000")
      .set("client_encoding", "UTF8");
  return conninfo;
}

Duration connect_timeout(const Conninfo& conninfo, Duration otherwise) {
  const std::string_view text = conninfo.get("connect_timeout").value_or("");
  long seconds = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (parsed.ec != std::errc()) return otherwise;
  constexpr long kForEver = 86400L * 365;
  const bool for_ever = seconds <= 0 || seconds > kForEver;  // 0 and less mean that to libpq
  return for_ever ? Duration::max() : std::chrono::seconds(seconds);
}

void check_server(const Wire& wire, const Conninfo& conninfo, bool require_primary) {
  if (wire.server_version() < kOldestServer) {
    raise({.kind = ErrorKind::connect,
           .message = "the server at " + conninfo.display() + " is PostgreSQL " +
                      std::string(wire.server_setting("server_version")) + "; Weir needs 14 or newer",
           .hint = "Upgrade the server, or point DATABASE_URL at a newer one."});
  }
  if (require_primary && wire.server_setting("in_hot_standby") == "on") {
    raise({.kind = ErrorKind::connect,
           .message = "the server at " + conninfo.display() + " is a read-only standby",
           .hint = "Name the primary, or all hosts with target_session_attrs=read-write in the connection "
                   "string."});
  }
}

}  // namespace

Connector::Connector(Conninfo conninfo, Options options)
    : conninfo_(with_defaults(std::move(conninfo))), options_(std::move(options)) {}

Session Connector::connect(Role role, std::string_view id, const Limit& limit) const {
  Conninfo conninfo = conninfo_;
  conninfo.set("application_name", application_name(role, id));
  const Deadline deadline = Deadline::after(connect_timeout(conninfo, options_.connect_timeout));
  Wire wire = Wire::connect(conninfo, {limit.deadline.sooner(deadline), limit.stop});
  check_server(wire, conninfo_, options_.require_primary);
  return {std::move(wire), options_.session};
}

}  // namespace weir::pg
