#pragma once

#include <string_view>

#include "cli/command.h"

namespace weir::cli {

/// Shows what a command takes, or the commands of a group, or for an empty path all commands and the options
/// they share; as `{"help": "<text>"}` where JSON is wanted. False for a path that names nothing.
[[nodiscard]] bool show_help(Output& out, bool json, const Registry& registry, std::string_view path);

}  // namespace weir::cli
