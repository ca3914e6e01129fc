#include "cli/help.h"

#include <algorithm>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/parse.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

std::string heading(const Paint& paint, std::string_view text) { return paint(Color::bold, text) + "\n"; }

/// Two columns, indented.
class Listing {
 public:
  Listing() : table_({{""}, {""}, {""}}) {}
  void add(std::string left, std::string_view right) {
    table_.add({"", Table::Cell(std::move(left), Color::cyan), std::string(right)});
  }
  [[nodiscard]] std::string render(const Paint& paint) const { return table_.render(paint); }

 private:
  Table table_;
};

bool is_within(const Command& command, std::string_view path) {
  return command.path.starts_with(std::string(path) + " ");
}

std::string commands(const Registry& registry, std::string_view group, const Paint& paint) {
  Listing listing;
  for (const Command& command : registry.commands) {
    const bool wanted = group.empty() || is_within(command, group);
    if (wanted) listing.add(fmt::format("weir {}", command.path), command.summary);
  }
  return heading(paint, "Commands") + listing.render(paint);
}

std::string options(std::span<const OptionSpec> specs, std::string_view title, const Paint& paint) {
  Listing listing;
  for (const OptionSpec& spec : specs) {
    const std::string letter = spec.letter == 0 ? "    " : fmt::format("-{}, ", spec.letter);
    const std::string value = spec.value.empty() ? "" : fmt::format(" {}", spec.value);
    listing.add(fmt::format("{}--{}{}", letter, spec.name, value), spec.help);
  }
  return heading(paint, title) + listing.render(paint);
}

std::string examples(const Command& command, const Paint& paint) {
  Listing listing;
  for (const Example& example : command.examples) listing.add(std::string(example.command), example.what);
  return heading(paint, "Examples") + listing.render(paint);
}

std::string help_overview(const Registry& registry, const Paint& paint) {
  return "Weir, a concurrency-safe ELT engine on PostgreSQL\n\nUsage: weir COMMAND [OPTION]...\n\n" +
         commands(registry, "", paint) + "\n" + options(global_options(), "Options of every command", paint) +
         "\nMore about one command: weir help COMMAND\n";
}

std::string help_group(const Registry& registry, const CommandGroup& group, const Paint& paint) {
  return fmt::format("weir {0}: {1}\n\nUsage: weir {0} COMMAND [OPTION]...\n\n", group.name, group.summary) +
         commands(registry, group.name, paint) +
         fmt::format("\nMore about one command: weir help {} COMMAND\n", group.name);
}

std::string help_command(const Registry& registry, const Command& command, const Paint& paint) {
  std::string usage = fmt::format("weir {}", command.path);
  if (!command.words.empty()) usage += fmt::format(" {}", command.words);
  usage += " [OPTION]...";
  if (!command.rest.empty()) usage += fmt::format(" [-- {}]", command.rest);
  std::string text = fmt::format("weir {}: {}\n\nUsage: {}\n\n{}\n", command.path, command.summary, usage,
                                 command.description);
  const bool has_own = std::any_of(registry.commands.begin(), registry.commands.end(),
                                   [&](const Command& each) { return is_within(each, command.path); });
  if (has_own) text += "\n" + commands(registry, command.path, paint);
  if (!command.options.empty()) text += "\n" + options(command.options, "Options", paint);
  text += "\n" + options(global_options(), "Options of every command", paint);
  if (!command.examples.empty()) text += "\n" + examples(command, paint);
  return text;
}

std::optional<std::string> help_on(const Registry& registry, std::string_view path, const Paint& paint) {
  if (path.empty()) return help_overview(registry, paint);
  if (const Command* const command = registry.find(path)) return help_command(registry, *command, paint);
  if (const CommandGroup* const group = registry.find_group(path)) return help_group(registry, *group, paint);
  return std::nullopt;
}

}  // namespace

bool show_help(Output& out, bool json, const Registry& registry, std::string_view path) {
  const std::optional<std::string> text = help_on(registry, path, json ? Paint(false) : out.paint());
  if (!text) return false;
  if (json) {
    out.json({{"help", *text}});
  } else {
    out.write(*text);
  }
  return true;
}

}  // namespace weir::cli
