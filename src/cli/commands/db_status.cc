#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/database_status.h"

namespace weir::cli {
namespace {

ExitCode run_db_status(Context& context) {
  const DatabaseStatus status = look_at_database(context, choose_database(context.global));
  if (context.global.json) {
    context.out.json(to_json(status));
  } else {
    context.out.write(to_text(status, context.out.paint()));
  }
  return ExitCode::ok;
}

}  // namespace

Command db_status_command() {
  return {.path = "db status",
          .summary = "show the database: state, version, schema, how to connect",
          .description =
              "Starts nothing and changes nothing. A private PostgreSQL that is stopped, or was never made, "
              "is a\n"
              "state like any other (exit code 0); a DATABASE_URL that cannot be reached is an error (4).",
          .examples = {{"weir db status", ""},
                       {"weir db status --json | jq -r .state",
                        "absent, stopped, starting, running or unresponsive"}},
          .run = run_db_status};
}

}  // namespace weir::cli
