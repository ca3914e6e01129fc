#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/load/run_load.h"

namespace weir::cli {
namespace {

ExitCode load_here(Context& context) { return run_load(context, read_load_options(context.arguments)); }

}  // namespace

Command load_command() {
  return {
      .path = "load",
      .summary = "load files, queries or a tap into a table while its readers keep reading",
      .description =
          "Reads into a stage of its own; then one short transaction changes the table: readers see it as "
          "it\n"
          "was or as it will be, and never wait (but with swap). Where there is no table it is made. Bad\n"
          "records stop a load unless --max-rejects allows some; an empty source and mass deletes stop it,\n"
          "too. A load that was interrupted goes on where it was when the same command is given again.\n"
          "\n"
          "A SOURCE is a file, a pattern, - (standard input), sqlite:FILE, or a PostgreSQL URL; gzip and "
          "zstd\n"
          "are unpacked. Behind -- stands a command whose output is loaded. Modes, locks and costs:\n"
          "docs/loads.md.",
      .options = load_option_specs(),
      .words = "SOURCE...",
      .rest = "COMMAND [ARGUMENT]...",
      .examples =
          {{"weir load rates.csv --into silver_rates --mode refresh --key ts,pair",
            "afterwards the table is the file"},
           {"weir load 'in/*.csv.gz' --into events --mode append --max-rejects 0.1%", "rows are added"},
           {"weir load day.csv --into sales --mode window --window day:2026-01-01..2026-01-02 --dry-run",
            "what would be done, and its locks"},
           {"weir load sqlite:app.db --table users --into users --mode upsert --key id", ""},
           {"weir load --into prices --mode append -- curl -sf https://example.org/prices.ndjson",
            "a command that fails loads nothing"},
           {"tap-shop --state state.json | weir load --singer --into 'shop.*' --pipeline shop",
            "a Singer tap: a table of each stream"}},
      .run = load_here};
}

}  // namespace weir::cli
