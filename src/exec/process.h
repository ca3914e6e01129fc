#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/wait.h"

namespace weir::exec {

/// A running process that need not be ours. It is held by a pidfd: a signal reaches this process or nobody,
/// also when its number has been given to another one.
class Process {
 public:
  /// Nothing when no process has the number, or only one that has ended and was not collected.
  static std::optional<Process> find(pid_t pid);

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] bool ended() const;
  /// WaitEnd::ready when it has ended.
  WaitEnd wait_end(Deadline deadline, const std::stop_token& stop) const;
  /// False when it has ended already. Throws when it belongs to somebody whom we may not signal.
  bool signal(int number) const;

  /// Empty when it has ended.
  [[nodiscard]] std::vector<std::string> arguments() const;
  /// Its working folder; nothing when it has ended or when we may not look.
  [[nodiscard]] std::optional<std::filesystem::path> folder() const;

 private:
  Process(pid_t pid, UniqueFd fd) : pid_(pid), fd_(std::move(fd)) {}
  pid_t pid_;
  UniqueFd fd_;
};

}  // namespace weir::exec
