#pragma once

#include <sys/types.h>

#include "exec/command.h"
#include "exec/guardian.h"

namespace weir::exec {

/// The descriptors that become 0, 1 and 2 of the new process; they stay the caller's.
struct StandardFds {
  int in;
  int out;
  int err;
};

/// Starts `command` as a child of ours that leads its own process group; the caller has to wait for it.
/// The new process has default signal dispositions, an empty signal mask and no descriptor but the three.
/// With `group` the guardian knows it before it runs, and the caller has to leave that before it collects it.
/// Returns when the program runs (exec succeeded); throws StartError when it does not.
pid_t spawn_child(const Command& command, const StandardFds& fds, GuardedGroup* group = nullptr);

/// The same for a server that outlives us and our terminal: it leads a session of its own and is nobody's
/// child, so that whoever is process 1 collects it, and no guardian's. Standard output and error go to
/// `log_fd`, standard input is empty.
pid_t spawn_detached(const Command& command, int log_fd);

}  // namespace weir::exec
