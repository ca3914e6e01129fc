#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace weir::pg {

enum class ErrorKind {
  connect,  ///< no session came to be
  lost,  ///< the session is gone, and the transaction that was open in it is undone. A statement sent outside
         ///< of a transaction may have been carried out: what must not be repeated belongs into one
  in_doubt,      ///< the session went during COMMIT: the transaction may be kept or not
  deadline,      ///< no answer in time; the session was closed
  stopped,       ///< stop was requested; the session was closed
  cancelled,     ///< the server cancelled the statement (57014); the session lives
  lock_timeout,  ///< a lock was not granted in time (55P03); the session lives
  retryable,     ///< serialization failure or deadlock (40001, 40P01): the same transaction may succeed next
                 ///< time
  server,        ///< any other error the server reported
  decode,        ///< a value is not of the type the code asked for
  exhausted,     ///< the pool had no session in time
  misuse,        ///< the caller broke a contract of this library
};

std::string_view to_string(ErrorKind kind) noexcept;

/// What is known about a failure; empty strings where nothing is.
struct ErrorInfo {
  ErrorKind kind = ErrorKind::server;
  std::string message;
  std::string sqlstate{};
  std::string severity{};
  std::string detail{};
  std::string hint{};
  std::string context{};
  std::string table{};
  std::string constraint{};
  std::string query{};  ///< the name of the query, never its text
  std::string position{};
};

/// Any failure of this module. The types derived from it are the failures that change what the caller does
/// next.
class Error : public weir::Error {
 public:
  explicit Error(ErrorInfo info);
  [[nodiscard]] const ErrorInfo& info() const noexcept { return info_; }
  [[nodiscard]] ErrorKind kind() const noexcept { return info_.kind; }

 private:
  ErrorInfo info_;
};

/// The session is of no more use: kinds lost, deadline, connect.
class ConnectionLost : public Error {
  using Error::Error;
};
/// Whether the transaction was committed must be found out on another session. Not a ConnectionLost, on
/// purpose: who retries lost transactions must not retry this one by accident.
class InDoubt : public Error {
  using Error::Error;
};
class LockTimeout : public Error {
  using Error::Error;
};
class Retryable : public Error {
  using Error::Error;
};
/// Kinds cancelled and stopped.
class Cancelled : public Error {
  using Error::Error;
};

/// The kind that an SQLSTATE stands for in a session that lives. Whether one lives no SQLSTATE tells: any
/// function may raise 08006 or 57P01 as an ordinary error, as those of foreign servers do.
ErrorKind kind_of_sqlstate(std::string_view sqlstate) noexcept;

/// Throws the type that belongs to info.kind.
[[noreturn]] void raise(ErrorInfo info);

}  // namespace weir::pg
