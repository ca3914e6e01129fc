#pragma once

#include <stdexcept>
#include <string>

namespace weir {

/// What a script sees as the exit status of `weir`; documented in docs/cli.md and never renumbered.
enum class ExitCode : int {
  ok = 0,
  failed = 1,
  usage = 2,
  definition = 3,
  database = 4,
  refused = 5,
  interrupted = 130,
};

/// Every failure that reaches a person: what happened and where, and apart from it what to do about it.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message, std::string remedy = {});

  [[nodiscard]] ExitCode exit_code() const noexcept { return code_; }
  [[nodiscard]] const std::string& remedy() const noexcept { return remedy_; }

 private:
  ExitCode code_;
  std::string remedy_;
};

/// Throws what errno says of a system call that cannot fail on a healthy machine (eventfd, poll, fork).
[[noreturn]] void throw_errno(const char* call);

}  // namespace weir
