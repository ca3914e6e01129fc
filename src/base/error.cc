#include "base/error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace weir {
namespace {

Failure failure_of(ExitCode code) noexcept {
  switch (code) {
    case ExitCode::usage:
    case ExitCode::definition: return Failure::usage;
    case ExitCode::database: return Failure::connection;
    case ExitCode::refused: return Failure::refused;
    case ExitCode::interrupted: return Failure::stopped;
    case ExitCode::ok:
    case ExitCode::failed: break;
  }
  return Failure::other;
}

}  // namespace

Error::Error(ExitCode code, const std::string& message, std::string remedy)
    : Error(code, message, std::move(remedy), failure_of(code), {}) {}

Error::Error(ExitCode code, const std::string& message, std::string remedy, Failure failure,
             std::string sqlstate)
    : std::runtime_error(message),
      code_(code),
      remedy_(std::move(remedy)),
      failure_(failure),
      sqlstate_(std::move(sqlstate)) {}

void throw_errno(const char* call) {
  const int code = errno;
  throw Error(ExitCode::failed, std::string(call) + ": " + std::generic_category().message(code));
}

}  // namespace weir
