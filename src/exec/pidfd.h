#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace weir::exec {

// The raw calls: glibc 2.36 declares its wrappers without extern "C", so they do not link from C++.

/// Invalid, with errno, when it fails.
inline UniqueFd open_pidfd(pid_t pid) noexcept {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

inline int signal_pidfd(const UniqueFd& process, int number) noexcept {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0));
}

}  // namespace weir::exec
