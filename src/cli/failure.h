#pragma once

#include <exception>
#include <string>

#include "base/error.h"
#include "cli/term/paint.h"

namespace weir::cli {

/// Why a command did not do its work, as the user is told.
struct Failure {
  ExitCode code = ExitCode::failed;
  std::string message;
  std::string remedy;
};

/// Of whatever was thrown: errors of ours as they are, anything else as an unexpected one.
Failure failure_of(const std::exception_ptr& thrown);

/// `weir: <message>`, and the remedy indented on the next line.
std::string to_text(const Failure& failure, const Paint& paint);

/// `{"error": {"code": 4, "message": "..", "remedy": ".."}}`
std::string to_json(const Failure& failure);

}  // namespace weir::cli
