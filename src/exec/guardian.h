#pragma once

#include <atomic>

#include <sys/types.h>

#include "base/unique_fd.h"

namespace weir::exec {

/// A place for one process group in the list of our guardian: a process that kills the groups of that list
/// when we are gone, by whatever means. PR_SET_PDEATHSIG ends a program with us, but not what that program
/// has started, which would go on with work that somebody else has been given since.
///
/// There is one guardian for each process of ours, made before the first program. It sleeps until the end of
/// a pipe that nobody writes to; the list lies in memory that we share with it, so that to enter a group is a
/// store: it cannot block, fail or come late. It has a session of its own and no other descriptor, and ends
/// with us. It is the child of whoever takes orphans in: where that is a process of ours itself (number 1 of
/// a container, a subreaper), it must not wait for all of its children before it ends. It is a fork and
/// nothing is executed, so that it needs no file in a program that embeds us: pages that we change later stay
/// with it as they were.
///
/// Programs run as well where there is no guardian, or no longer one; that is logged once. A process that
/// forks and executes nothing has no part in its parent's guardian, and gets its own.
///
/// Not reached is what has left its group (see strays.h), and what we may not signal. A number can be
/// somebody else's only if, in the moment between our death and the guardian's look, all of the group ended
/// and the kernel went once through all numbers: while any process is in a group its number is not given
/// away, and a place is empty before its leader is collected.
class GuardedGroup {
 public:
  /// Takes a place. Logs instead of throwing when there is none to be had.
  GuardedGroup();
  ~GuardedGroup() { leave(); }
  GuardedGroup(const GuardedGroup&) = delete;
  GuardedGroup& operator=(const GuardedGroup&) = delete;

  /// By the new process, which leads the group, between fork and exec: nothing of it runs unlisted.
  void enter() const noexcept;
  /// By us, when the program runs.
  void entered() noexcept { lifeline_.reset(); }
  /// By us, when the group has ended or been killed, and before its leader is collected.
  void leave() noexcept;

 private:
  std::atomic<pid_t>* place_ = nullptr;
  // A copy, which the new process holds until its exec: the guardian does not look before it is listed.
  UniqueFd lifeline_;
};

}  // namespace weir::exec
