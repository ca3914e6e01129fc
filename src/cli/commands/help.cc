#include "cli/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "cli/commands.h"

namespace weir::cli {
namespace {

ExitCode run_help(Context& context) {
  const Registry registry = all_commands();
  const std::string path = fmt::format("{}", fmt::join(context.arguments.words, " "));
  if (show_help(context.out, context.global.json, registry, path)) return ExitCode::ok;
  std::vector<std::string_view> known;
  known.reserve(registry.commands.size());
  for (const Command& each : registry.commands) known.push_back(each.path);
  const auto near = closest(path, known);
  throw Error(ExitCode::usage, fmt::format("there is no command '{}'", printable(path)),
              near ? fmt::format("Did you mean 'weir help {}'? All commands: weir help", *near)
                   : "All commands: weir help");
}

}  // namespace

Command help_words_command() {
  return {.path = "help",
          .summary = "show all commands, or the options and examples of one",
          .description = "The same text as weir COMMAND --help.",
          .words = "[COMMAND]...",
          .examples = {{"weir help db migrate", "the options of weir db migrate"}},
          .run = run_help};
}

}  // namespace weir::cli
