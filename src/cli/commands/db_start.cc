#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database_status.h"
#include "cli/migrating.h"
#include "cli/starting.h"

namespace weir::cli {
namespace {

ExitCode run_db_start(Context& context) {
  const auto port = context.arguments.number("port", 1, 65535);
  const DatabaseChoice choice = choose_database(context.global);
  require_private(choice, "db start");

  const embedded::PrivateServer server =
      private_server(context.global, port ? std::optional(static_cast<std::uint16_t>(*port)) : std::nullopt);
  announce_start(context, server.status());
  const embedded::ServerStatus started = server.start(Deadline::after(kStartSpan), context.stop);
  show_notices(context, started);
  const schema::MigrationReport report =
      migrate_database(context, connector_for(pg::Conninfo::parse(started.url)));

  DatabaseStatus status = look_at_database(context, choice);
  status.notices.insert(status.notices.end(), report.notices.begin(), report.notices.end());
  if (context.global.json) {
    context.out.json(to_json(status));
    return ExitCode::ok;
  }
  context.out.line(fmt::format("PostgreSQL {} is running (process {}), data in {}", status.version,
                               status.pid.value_or(0), printable(status.data_dir.string())));
  context.out.line(fmt::format("connect with: {}", psql_command(status.url)));
  if (status.port) context.out.line("over TCP:     psql \"$(weir db url --tcp)\"");
  context.out.line("stop it with: weir db stop");
  return ExitCode::ok;
}

}  // namespace

Command db_start_command() {
  return {
      .path = "db start",
      .summary = "start the project's private PostgreSQL and leave it running",
      .description =
          "Makes the server in DIR/.weir at its first use, starts it or takes the one that runs, and brings "
          "the\n"
          "schema up to date. It goes on after this command, until weir db stop. As root the server runs as "
          "an\n"
          "unprivileged user. Refused (exit code 5) where DATABASE_URL names another server.",
      .options = {{"port", 0, "N", "listen on 127.0.0.1:N too, with a password (default: unix socket only)"}},
      .examples = {{"weir db start", "for this project"},
                   {"weir db start --port 5433", "for programs that know no unix sockets"},
                   {"psql \"$(weir db url)\"", "connect to it"}},
      .run = run_db_start};
}

}  // namespace weir::cli
