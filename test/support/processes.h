#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace weir::test {

/// As /proc shows them now, those that ended and were not collected among them.
std::vector<pid_t> children_of(pid_t parent);

/// "4711 postgres: checkpointer"; for messages.
std::string describe_process(pid_t pid);

}  // namespace weir::test
