#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/database.h"
#include "cli/starting.h"

namespace weir::cli {
namespace {

ExitCode run_db_stop(Context& context) {
  require_private(choose_database(context.global), "db stop");
  context.progress.step("stopping the private PostgreSQL");
  const bool ran = private_server(context.global).stop(Deadline::after(kStopSpan), context.stop);
  context.progress.clear();
  if (context.global.json) {
    context.out.json({{"stopped", ran}});
  } else {
    context.out.line(ran ? "the private PostgreSQL is stopped" : "no private PostgreSQL was running");
  }
  return ExitCode::ok;
}

}  // namespace

Command db_stop_command() {
  return {
      .path = "db stop",
      .summary = "stop the project's private PostgreSQL",
      .description =
          "Whoever uses it: open transactions are rolled back, and a weir up of this project ends. The data\n"
          "stay. Exit code 0 also when none was running.",
      .examples = {{"weir db stop", ""}},
      .run = run_db_stop};
}

}  // namespace weir::cli
