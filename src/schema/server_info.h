#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pg/budget.h"
#include "pg/session.h"

namespace weir::schema {

/// A server as this session's user meets it, for doctor and the connection budget. On any database, migrated
/// or not.
struct ServerInfo {
  int version = 0;  ///< 150020
  std::string version_text{};
  bool in_recovery = false;
  WallTime now{};           ///< by the server's clock
  Duration clock_offset{};  ///< the server's clock minus ours, give or take half a round trip
  Duration round_trip{};    ///< of the query that asked

  pg::ConnectionLimits limits{};        ///< for pg::check_budget
  std::int64_t client_connections = 0;  ///< of all users at this moment, this session among them

  std::string user{};
  bool is_superuser = false;
  std::string database{};

  struct Setting {
    std::string name{};
    std::string value{};   ///< as SHOW prints it
    std::string source{};  ///< "default", "configuration file", "database", "client", ..
  };
  std::vector<Setting> settings;

  /// Nothing for a setting that this server or this list does not have.
  [[nodiscard]] std::optional<std::string_view> setting(std::string_view name) const noexcept;
};

ServerInfo fetch_server_info(pg::Session& session, const Clock& clock = Clock::system());

/// Throws what pg::check_budget() says of this server.
void require_budget(pg::Session& session, const pg::Budget& budget);

}  // namespace weir::schema
