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

/// What a program can do about a failure.
enum class Failure {
  other,
  usage,         ///< the call or its arguments are wrong; nothing was sent
  refused,       ///< it could be done and must not be, such as with a schema of another version
  connection,    ///< no session, or it was lost: the open transaction is undone; try again later
  in_doubt,      ///< the session was lost during a commit: it may have happened or not
  lock_timeout,  ///< a lock was not granted in time
  retryable,     ///< a deadlock or a serialization failure: the same transaction may succeed next time
  stopped,       ///< a stop was requested, or the server cancelled the statement
  statement,     ///< the server refused the statement: see sqlstate()
};

/// Every failure that reaches a person: what happened and where, and apart from it what to do about it.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message, std::string remedy = {});

  [[nodiscard]] ExitCode exit_code() const noexcept { return code_; }
  [[nodiscard]] const std::string& remedy() const noexcept { return remedy_; }
  [[nodiscard]] Failure failure() const noexcept { return failure_; }
  /// PostgreSQL's code of five characters; empty where the server said nothing.
  [[nodiscard]] const std::string& sqlstate() const noexcept { return sqlstate_; }

 protected:
  Error(ExitCode code, const std::string& message, std::string remedy, Failure failure, std::string sqlstate);

 private:
  ExitCode code_;
  std::string remedy_;
  Failure failure_;
  std::string sqlstate_;
};

}  // namespace weir
