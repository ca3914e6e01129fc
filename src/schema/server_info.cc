#include "schema/server_info.h"

#include <algorithm>

#include "schema/queries/server.h"

namespace weir::schema {
std::optional<std::string_view> ServerInfo::setting(std::string_view name) const noexcept {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [name](const Setting& each) { return each.name == name; });
  return found == settings.end() ? std::nullopt : std::optional<std::string_view>(found->value);
}

ServerInfo fetch_server_info(pg::Session& session, const Clock& clock) {
  session.prepare(sql::ServerInfo::kQuery);  // so that the round trip is one
  ServerInfo info;
  const SteadyTime begin = clock.steady();
  const auto answer = session.run<sql::ServerInfo>();
  info.round_trip = clock.steady() - begin;
  const WallTime local = clock.wall();

  const sql::ServerInfo::Row row = answer.one();
  info.version = row.version;
  info.version_text = row.version_text;
  info.in_recovery = row.in_recovery;
  info.now = row.now;
  info.clock_offset = (row.now - local) + info.round_trip / 2;
  info.limits = {.max_connections = row.max_connections,
                 .reserved = row.reserved_connections,
                 .role_limit = row.role_connection_limit,
                 .database_limit = row.database_connection_limit};
  info.client_connections = row.client_connections;
  info.user = row.user_name;
  info.is_superuser = row.is_superuser;
  info.database = row.database_name;

  const auto settings = session.run<sql::ServerSettings>();
  for (const auto setting : settings) {
    info.settings.push_back(
        {std::string(setting.name), std::string(setting.value), std::string(setting.source)});
  }
  return info;
}

void require_budget(pg::Session& session, const pg::Budget& budget) {
  if (const auto refusal = pg::check_budget(budget, fetch_server_info(session).limits)) throw *refusal;
}

}  // namespace weir::schema
