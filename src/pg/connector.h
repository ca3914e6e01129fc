#pragma once

#include <string>
#include <string_view>

#include "pg/conninfo.h"
#include "pg/role.h"
#include "pg/session.h"

namespace weir::pg {

/// Where sessions come from: one server, one set of defaults. Any thread may use it.
class Connector {
 public:
  struct Options {
    Duration connect_timeout = std::chrono::seconds(10);  ///< `connect_timeout` of the connection string wins
    Session::Options session{};
    /// Refuse a hot standby, on which every write would fail later.
    bool require_primary = true;
    /// Names without a schema are found as the user set it up: for sessions that run SQL of the user. Weir's
    /// own see pg_catalog alone, so that no function or operator of somebody's schema is ever taken for
    /// PostgreSQL's.
    bool users_search_path = false;
  };

  explicit Connector(Conninfo conninfo) : Connector(std::move(conninfo), Options()) {}
  Connector(Conninfo conninfo, Options options);

  /// Throws ConnectionLost (kind connect) with the remedy: unreachable, wrong password, a server older than
  /// 14, ..
  [[nodiscard]] Session connect(Role role, std::string_view id, const Limit& limit = {}) const;

  /// For a few statements where nothing is known yet of what stands in between: what is prepared would stay
  /// at a server process that a pooler gives to somebody else next, and be in the way there.
  [[nodiscard]] Connector unprepared() const;

  [[nodiscard]] const Conninfo& conninfo() const noexcept { return conninfo_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }

 private:
  Conninfo conninfo_;
  Options options_;
};

/// The oldest server that Weir works with, as libpq counts: 140000.
inline constexpr int kOldestServer = 140000;

}  // namespace weir::pg
