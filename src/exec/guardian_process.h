#pragma once

#include <array>
#include <atomic>
#include <span>

#include <sys/types.h>

namespace weir::exec {

/// In memory that a process and its guardian share.
struct GuardList {
  static constexpr pid_t kFree = 0;
  static constexpr pid_t kTaken = -1;  ///< the process has not been made yet
  static constexpr std::size_t kPlaces = 4096;

  int lifeline = -1;  ///< our end of the guardian's pipe
  std::array<std::atomic<pid_t>, kPlaces> leaders{};
};
static_assert(std::atomic<pid_t>::is_always_lock_free, "it is written between fork and exec");

/// In a child that has just been forked, with all signals blocked, for good: makes the guardian, and ends as
/// soon as there is one. `lifeline` is the end of the pipe to read; `words` is where the kernel finds the
/// command line and the environment, which the guardian has none of.
[[noreturn]] void become_guardian(int lifeline, const GuardList& list, std::span<char> words,
                                  int last_fd) noexcept;

}  // namespace weir::exec
