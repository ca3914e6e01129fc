#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <unistd.h>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/database.h"
#include "exec/command.h"

namespace weir::cli {
namespace {

std::filesystem::path find_psql() {
  const char* const path = std::getenv("PATH");
  if (const auto found = exec::find_program("psql", path == nullptr ? "/usr/bin:/bin" : path)) return *found;
  const char* const folder = std::getenv("WEIR_PG_BIN");
  if (folder != nullptr && *folder != '\0') {
    if (const auto found = exec::find_program("psql", folder)) return *found;
  }
  throw Error(ExitCode::failed, "the program psql was not found on PATH",
              "Install it (apt-get install postgresql-client), or put its folder on PATH.");
}

/// Programs start with the signals that we keep to ourselves switched on again.
void restore_signals() noexcept {
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
}

ExitCode run_db_psql(Context& context) {
  if (context.global.json) {
    throw Error(ExitCode::usage, "db psql becomes psql, which knows no --json",
                "For machines: weir db psql -- --csv -c 'select ..'");
  }
  const pg::Conninfo conninfo = running_database(context.global, choose_database(context.global));
  const std::string psql = find_psql().string();
  // Arguments are visible to everybody on the machine, the environment is not.
  if (const auto password = conninfo.get("password"))
    ::setenv("PGPASSWORD", std::string(*password).c_str(), 1);
  const std::string url = conninfo.display();
  std::vector<std::string> words{"psql", "--dbname", url};
  words.insert(words.end(), context.arguments.rest.begin(), context.arguments.rest.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  restore_signals();
  ::execv(psql.c_str(), argv.data());
  throw Error(ExitCode::failed,
              fmt::format("cannot run {}: {}", psql, std::generic_category().message(errno)));
}

}  // namespace

Command db_psql_command() {
  return {
      .path = "db psql",
      .summary = "open psql on the database",
      .description =
          "Becomes psql, so its exit code is that of psql (0 done, 1 and 3 failed, 2 lost the connection).\n"
          "Needs a running database; starts nothing.",
      .rest = "PSQL-ARGUMENT...",
      .examples = {{"weir db psql", "a prompt"},
                   {"weir db psql -- -c 'select version()'", "one statement"},
                   {"weir db psql < script.sql", "a script"}},
      .run = run_db_psql};
}

}  // namespace weir::cli
