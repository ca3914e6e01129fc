#include "cli/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "cli/commands.h"

namespace weir::cli {
namespace {

std::string text_on(const std::string& path, const Paint& paint) {
  const Registry registry = all_commands();
  if (path.empty()) return help_overview(registry, paint);
  if (const Command* const command = registry.find(path)) return help_command(*command, paint);
  if (const CommandGroup* const group = registry.find_group(path)) return help_group(registry, *group, paint);
  std::vector<std::string_view> known;
  known.reserve(registry.commands.size());
  for (const Command& each : registry.commands) known.push_back(each.path);
  const auto near = closest(path, known);
  throw Error(ExitCode::usage, fmt::format("there is no command '{}'", printable(path)),
              near ? fmt::format("Did you mean 'weir help {}'? All commands: weir help", *near)
                   : "All commands: weir help");
}

ExitCode run(Context& context) {
  const std::string path = fmt::format("{}", fmt::join(context.arguments.words, " "));
  show_help(context.out, context.global.json, [&](const Paint& paint) { return text_on(path, paint); });
  return ExitCode::ok;
}

}  // namespace

Command help_words_command() {
  return {.path = "help",
          .summary = "show all commands, or the options and examples of one",
          .description = "The same text as weir COMMAND --help.",
          .words = "[COMMAND]...",
          .examples = {{"weir help db migrate", "the options of weir db migrate"}},
          .run = run};
}

}  // namespace weir::cli
