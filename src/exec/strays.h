#pragma once

#include <string_view>

namespace weir::exec {

/// Kills every process of ours whose environment has the entry `NAME=VALUE`: what a program has started in a
/// session of its own is not in its group, but has inherited that. The entry has to be one that no other
/// program has. Answers how many there were. Looks at all processes of the machine: not for every end of a
/// program.
int kill_strays(std::string_view entry);

}  // namespace weir::exec
