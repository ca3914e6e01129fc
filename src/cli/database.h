#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cli/global_options.h"
#include "embedded/private_server.h"
#include "pg/connector.h"
#include "pg/conninfo.h"

namespace weir::cli {

/// Which database the user wants: --database-url before $DATABASE_URL before the project's private server.
struct DatabaseChoice {
  std::optional<pg::Conninfo> given;  ///< nothing: the private server
  std::string_view source;            ///< "--database-url", "DATABASE_URL", "private"

  [[nodiscard]] bool is_private() const noexcept { return !given; }
};

/// An empty value counts as none.
DatabaseChoice choose_database(const GlobalOptions& global);

embedded::PrivateServer private_server(const GlobalOptions& global,
                                       std::optional<std::uint16_t> tcp_port = {});

/// How to reach the database as it is now; starts nothing. Throws the error that says how to start it.
pg::Conninfo running_database(const GlobalOptions& global, const DatabaseChoice& choice);

/// What a private server that is not there means to a command that needs it; nothing when it runs.
std::optional<Error> why_not_running(const embedded::ServerStatus& status);

/// For commands that say a few things and leave. They prepare nothing: a statement that runs once gains
/// nothing by it, and a pooler in transaction mode would lose it.
pg::Connector connector_for(pg::Conninfo conninfo, bool require_primary = true);

/// Commands for the private server alone are refused where another database takes its place.
void require_private(const DatabaseChoice& choice, std::string_view command);

}  // namespace weir::cli
