#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::pipeline {

/// What a command says to Weir on its standard output: docs/pipelines.md, "What a command says".
struct ProcessMessage {
  enum class Kind { output, skip, branch, progress };
  Kind kind = Kind::output;
  std::string value;               ///< output: JSON as it stood there; skip: the reason
  std::vector<std::string> tasks;  ///< branch
  double done = 0;                 ///< progress
  std::optional<double> of{};
};

/// A line that has no meaning: it looks like a message, and is none.
struct MessageFault {
  std::string what;
};

/// Nothing when the line is no message but a line of the log.
std::optional<ProcessMessage> read_message(std::string_view line);

}  // namespace weir::pipeline
