#include "cli/database.h"

#include <cstdlib>

#include <fmt/format.h>

namespace weir::cli {
namespace {

pg::Conninfo parse_named(std::string_view source, const std::string& text) {
  try {
    return pg::Conninfo::parse(text);
  } catch (const Error& error) {
    throw Error(error.exit_code(), fmt::format("{}: {}", source, error.what()), error.remedy());
  }
}

}  // namespace

DatabaseChoice choose_database(const GlobalOptions& global) {
  DatabaseChoice choice;
  const char* const environment = std::getenv("DATABASE_URL");
  std::string text;
  if (global.database_url && !global.database_url->empty()) {
    choice.source = "--database-url";
    text = *global.database_url;
  } else if (environment != nullptr && *environment != '\0') {
    choice.source = "DATABASE_URL";
    text = environment;
  } else {
    choice.source = "private";
    return choice;
  }
  choice.given = parse_named(choice.source, text);
  return choice;
}

embedded::PrivateServer private_server(const GlobalOptions& global, std::optional<std::uint16_t> tcp_port) {
  embedded::ServerOptions options;
  options.project = global.project;
  options.tcp_port = tcp_port;
  return embedded::PrivateServer(std::move(options));
}

std::optional<Error> why_not_running(const embedded::ServerStatus& status) {
  constexpr const char* kStart =
      "Start it with: weir db start (or weir up). To use a server of your own, set DATABASE_URL.";
  switch (status.state) {
    case embedded::ServerState::running: return std::nullopt;
    case embedded::ServerState::absent:
      return Error(ExitCode::database, "this project has no private PostgreSQL yet", kStart);
    case embedded::ServerState::stopped:
      return Error(ExitCode::database, "the private PostgreSQL is stopped", kStart);
    case embedded::ServerState::starting:
      return Error(ExitCode::database, "the private PostgreSQL is starting or stopping at this moment",
                   "Try again in a few seconds; see: weir db status");
    case embedded::ServerState::unresponsive: break;
  }
  return Error(ExitCode::database, "the private PostgreSQL does not answer",
               fmt::format("See its log in {}; weir db stop ends it.", status.logs.string()));
}

pg::Conninfo running_database(const GlobalOptions& global, const DatabaseChoice& choice) {
  if (choice.given) return *choice.given;
  const embedded::ServerStatus status = private_server(global).status();
  if (const auto problem = why_not_running(status)) throw Error(*problem);
  return pg::Conninfo::parse(status.url);
}

pg::Connector connector_for(pg::Conninfo conninfo, bool require_primary) {
  pg::Connector::Options options;
  options.session.prepare = false;
  options.require_primary = require_primary;
  return pg::Connector(std::move(conninfo), options);
}

void require_private(const DatabaseChoice& choice, std::string_view command) {
  if (choice.is_private()) return;
  throw Error(
      ExitCode::refused,
      fmt::format("weir {} is for the project's private PostgreSQL, but {} names another server ({})",
                  command, choice.source, choice.given->display()),
      fmt::format(
          "Start and stop that server by its own means, or leave DATABASE_URL and --database-url out: "
          "env -u DATABASE_URL weir {}",
          command));
}

}  // namespace weir::cli
