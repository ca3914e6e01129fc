#pragma once

#include <chrono>
#include <string>

#include "base/deadline.h"
#include "exec/command.h"

namespace weir::test {

/// By then every program of a test has long ended, also on a busy machine.
inline Deadline soon() { return Deadline::after(std::chrono::seconds(30)); }

inline exec::Command shell(const std::string& script) {
  exec::Command command;
  command.argv = {"/bin/sh", "-c", script};
  return command;
}

}  // namespace weir::test
