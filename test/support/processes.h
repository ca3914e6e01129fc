#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace weir::test {

/// As /proc shows them now, those that ended and were not collected among them.
std::vector<pid_t> children_of(pid_t parent);

/// Whether the process has ended, or ends within a minute.
bool gone(pid_t pid);

/// For the start of a program that has StopSignals: a child that is forked while it lives, and becomes that
/// program, keeps a SIGTERM until they are there to read it, instead of being ended by it.
class SigtermWaits {
 public:
  SigtermWaits() noexcept;
  SigtermWaits(const SigtermWaits&) = delete;
  SigtermWaits& operator=(const SigtermWaits&) = delete;
  ~SigtermWaits();

 private:
  sigset_t before_{};
};

/// Runs `work` in a forked process; its return value is the exit status, 99 when it throws.
pid_t in_process(const std::function<int()>& work);
/// Of a child of ours, once it has ended; 128 + N after signal N.
int status_of(pid_t child);

/// "4711 postgres: checkpointer"; for messages.
std::string describe_process(pid_t pid);

}  // namespace weir::test
