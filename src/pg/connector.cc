#include "pg/connector.h"

#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "pg/hosts.h"

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

/// What one of `hosts` hosts that are still to be tried may use of the time there is.
Deadline share_of(Deadline whole, std::size_t hosts) {
  if (whole.is_never() || hosts == 1) return whole;
  const SteadyTime now = std::chrono::steady_clock::now();
  return Deadline(now + (whole.at() - now) / static_cast<Duration::rep>(hosts));
}

/// A server that answered and refused us speaks for the others too, as it does to libpq: a wrong password
/// must not be tried on every host. One that is starting up or going down says nothing of the rest.
bool is_final(const ErrorInfo& failure) { return !failure.sqlstate.empty() && failure.sqlstate != "57P03"; }

/// One paragraph for all the hosts that were tried; the remedy is that of the last.
ErrorInfo together(std::optional<ErrorInfo> before, ErrorInfo failure) {
  if (before && before->message != failure.message)
    failure.message = before->message + "; " + failure.message;
  return failure;
}

/// Said in the connection's first message, not by SET: then it is what RESET and DISCARD ALL return to.
/// Isolation: what is counted under a lock has to be seen as it is once the lock is ours.
constexpr const char* kUsersSettings = "-c default_transaction_isolation=read\\ committed";
constexpr const char* kOwnSettings =
    "-c default_transaction_isolation=read\\ committed -c search_path=pg_catalog,pg_temp";

/// A pooler that hands server processes around refuses a setting of one client; SET would reach the others.
/// So there the user's own settings count, which doctor reports.
bool is_refused_by_pooler(const Error& error) {
  return error.sqlstate() == "08P01" &&
         std::string_view(error.what()).find("unsupported startup parameter") != std::string_view::npos;
}

Wire connect_wire(const Conninfo& conninfo, const Limit& limit, bool users_search_path) {
  try {
    return Wire::connect(conninfo, limit, users_search_path ? kUsersSettings : kOwnSettings);
  } catch (const ConnectionLost& error) {
    if (!is_refused_by_pooler(error)) throw;
  }
  return Wire::connect(conninfo, limit);
}

}  // namespace

Connector::Connector(Conninfo conninfo, Options options)
    : conninfo_(with_defaults(std::move(conninfo))), options_(std::move(options)) {}

Connector Connector::unprepared() const {
  Connector copy = *this;
  copy.options_.session.prepare = false;
  return copy;
}

Session Connector::connect(Role role, std::string_view id, const Limit& limit) const {
  Conninfo conninfo = conninfo_;
  conninfo.set("application_name", application_name(role, id));
  const std::vector<Conninfo> hosts = single_hosts(conninfo);
  const Duration timeout = connect_timeout(conninfo, options_.connect_timeout);
  std::optional<ErrorInfo> failure;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const Deadline deadline = share_of(limit.deadline, hosts.size() - i).sooner(Deadline::after(timeout));
    try {
      Wire wire = connect_wire(hosts[i], {deadline, limit.stop}, options_.users_search_path);
      check_server(wire, hosts[i], options_.require_primary);
      return {std::move(wire), options_.session};
    } catch (const ConnectionLost& error) {
      failure = together(std::move(failure), error.info());
      if (is_final(error.info())) break;
    }
  }
  raise(std::move(*failure));
}

}  // namespace weir::pg
