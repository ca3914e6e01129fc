#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/database.h"

namespace weir::cli {
namespace {

std::string tcp_url(const GlobalOptions& global, const DatabaseChoice& choice) {
  require_private(choice, "db url --tcp");
  const embedded::ServerStatus status = private_server(global).status();
  if (const auto problem = why_not_running(status)) throw Error(*problem);
  if (status.tcp_url) return *status.tcp_url;
  throw Error(ExitCode::database, "the private PostgreSQL does not listen on TCP",
              "Start it with a port: weir db stop; weir db start --port 5433");
}

ExitCode run_db_url(Context& context) {
  const DatabaseChoice choice = choose_database(context.global);
  const std::string url = context.arguments.has("tcp") ? tcp_url(context.global, choice)
                                                       : running_database(context.global, choice).url();
  if (context.global.json) {
    context.out.json({{"url", url}});
  } else {
    context.out.line(url);
  }
  return ExitCode::ok;
}

}  // namespace

Command db_url_command() {
  return {
      .path = "db url",
      .summary = "print the database's URL, for other programs",
      .description =
          "The URL and nothing else, with its password if it has one: keep it out of logs. Starts nothing: "
          "a\n"
          "private PostgreSQL that does not run is an error (exit code 4). DATABASE_URL is printed as it is\n"
          "understood, without a look whether it can be reached.",
      .options = {{"tcp", 0, "", "of the private server's TCP port, password included"}},
      .examples = {{"psql \"$(weir db url)\"", ""},
                   {"DATABASE_URL=$(weir db url --tcp) ./program", "for drivers without unix sockets"}},
      .run = run_db_url};
}

}  // namespace weir::cli
