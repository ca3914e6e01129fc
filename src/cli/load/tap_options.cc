#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/load/options.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;

/// What the tap says itself, or what only a source has that can be read again.
constexpr std::array<std::string_view, 16> kNotOfTaps{
    "mode",    "key",     "window",          "partition",
    "columns", "dry-run", "staged",          "restart",
    "state",   "at",      "history-columns", "views",
    "query",   "table",   "not-compared",    "reject-duplicates"};

/// app.* or * or a table.
void check_into(const std::string& into) {
  if (!into.ends_with('*')) {
    load::parse_table_name(into);
    return;
  }
  const std::string schema = into.substr(0, into.size() - 1);
  if (schema.empty()) return;
  if (!schema.ends_with('.') || schema.size() == 1) {
    throw Error(ExitCode::usage, fmt::format("--into is '{}'", printable(into)),
                "For a table of each stream write 'SCHEMA.*', or '*'.");
  }
  load::parse_table_name(schema + "x");
}

}  // namespace

void read_tap_options(const Arguments& given, LoadRequest& request) {
  for (const std::string_view option : kNotOfTaps) {
    if (given.has(option)) {
      throw Error(ExitCode::usage, fmt::format("--{} has no meaning with --singer", option),
                  "A tap says itself what its keys and types are, and which rows it replaces. Leave it out.");
    }
  }
  if (request.source.words.size() > 1)
    throw Error(ExitCode::usage, "a tap is one source", "Load files one after the other.");
  check_into(request.options.target);
  load::SingerLoadOptions& tap = request.tap;
  tap.into = request.options.target;
  tap.stream = request.source.stream;
  tap.flatten = request.source.flatten;
  tap.max_message_bytes = request.source.csv.max_record.value_or(tap.max_message_bytes);
  tap.soft_delete = given.has("soft-delete");
  tap.apply_every = given.duration("apply-every", 0s, 24h).value_or(tap.apply_every);
}

}  // namespace weir::cli
