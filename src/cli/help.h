#pragma once

#include <string>

#include "cli/command.h"
#include "cli/term/paint.h"

namespace weir::cli {

/// All commands, and the options they share.
std::string help_overview(const Registry& registry, const Paint& paint);
/// The commands of a group.
std::string help_group(const Registry& registry, const CommandGroup& group, const Paint& paint);
std::string help_command(const Command& command, const Paint& paint);

}  // namespace weir::cli
