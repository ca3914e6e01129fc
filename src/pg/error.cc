#include "pg/error.h"

#include <utility>

namespace weir::pg {
namespace {

std::string compose(const ErrorInfo& info) {
  std::string text = info.message;
  if (!info.sqlstate.empty()) text += " [" + info.sqlstate + "]";
  if (!info.detail.empty()) text += "; " + info.detail;
  if (!info.query.empty()) text += " (query " + info.query + ")";
  return text;
}

ExitCode exit_code_of(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::connect:
    case ErrorKind::lost:
    case ErrorKind::in_doubt:
    case ErrorKind::deadline:
    case ErrorKind::exhausted: return ExitCode::database;
    case ErrorKind::stopped: return ExitCode::interrupted;
    case ErrorKind::cancelled:
    case ErrorKind::lock_timeout:
    case ErrorKind::retryable:
    case ErrorKind::server:
    case ErrorKind::decode:
    case ErrorKind::misuse: return ExitCode::failed;
  }
  return ExitCode::failed;
}

Failure failure_of(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::connect:
    case ErrorKind::lost:
    case ErrorKind::deadline:
    case ErrorKind::exhausted: return Failure::connection;
    case ErrorKind::in_doubt: return Failure::in_doubt;
    case ErrorKind::lock_timeout: return Failure::lock_timeout;
    case ErrorKind::retryable: return Failure::retryable;
    case ErrorKind::stopped:
    case ErrorKind::cancelled: return Failure::stopped;
    case ErrorKind::misuse:
    case ErrorKind::decode: return Failure::usage;
    case ErrorKind::server: break;
  }
  return Failure::statement;
}

}  // namespace

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::connect: return "connect";
    case ErrorKind::lost: return "lost";
    case ErrorKind::in_doubt: return "in_doubt";
    case ErrorKind::deadline: return "deadline";
    case ErrorKind::stopped: return "stopped";
    case ErrorKind::cancelled: return "cancelled";
    case ErrorKind::lock_timeout: return "lock_timeout";
    case ErrorKind::retryable: return "retryable";
    case ErrorKind::server: return "server";
    case ErrorKind::decode: return "decode";
    case ErrorKind::exhausted: return "exhausted";
    case ErrorKind::misuse: return "misuse";
  }
  return "unknown";
}

Error::Error(ErrorInfo info)
    : weir::Error(exit_code_of(info.kind), compose(info), info.hint, failure_of(info.kind), info.sqlstate),
      info_(std::move(info)) {}

ErrorKind kind_of_sqlstate(std::string_view sqlstate) noexcept {
  if (sqlstate == "40001" || sqlstate == "40P01") return ErrorKind::retryable;
  if (sqlstate == "55P03") return ErrorKind::lock_timeout;
  if (sqlstate == "57014") return ErrorKind::cancelled;
  return ErrorKind::server;
}

void raise(ErrorInfo info) {
  switch (info.kind) {
    case ErrorKind::connect:
    case ErrorKind::lost:
    case ErrorKind::deadline: throw ConnectionLost(std::move(info));
    case ErrorKind::in_doubt: throw InDoubt(std::move(info));
    case ErrorKind::lock_timeout: throw LockTimeout(std::move(info));
    case ErrorKind::retryable: throw Retryable(std::move(info));
    case ErrorKind::stopped:
    case ErrorKind::cancelled: throw Cancelled(std::move(info));
    case ErrorKind::server:
    case ErrorKind::decode:
    case ErrorKind::exhausted:
    case ErrorKind::misuse: break;
  }
  throw Error(std::move(info));
}

}  // namespace weir::pg
