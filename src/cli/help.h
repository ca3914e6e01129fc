#pragma once

#include <functional>
#include <string>

#include "cli/command.h"
#include "cli/term/paint.h"

namespace weir::cli {

/// All commands, and the options they share.
std::string help_overview(const Registry& registry, const Paint& paint);
/// The commands of a group.
std::string help_group(const Registry& registry, const CommandGroup& group, const Paint& paint);
std::string help_command(const Command& command, const Paint& paint);

/// One of them as the result of a command: `{"help": "<text>"}` where JSON is wanted.
void show_help(Output& out, bool json, const std::function<std::string(const Paint&)>& text);

}  // namespace weir::cli
