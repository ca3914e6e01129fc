#include "base/error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace weir {

Error::Error(ExitCode code, const std::string& message, std::string remedy)
    : std::runtime_error(message), code_(code), remedy_(std::move(remedy)) {}

void throw_errno(const char* call) {
  const int code = errno;
  throw Error(ExitCode::failed, std::string(call) + ": " + std::generic_category().message(code));
}

}  // namespace weir
