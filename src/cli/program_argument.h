#pragma once

#include <string>
#include <vector>

namespace weir::cli {

/// Before anything starts: a command that is not there would fail all work. Throws usage.
void check_program(const std::vector<std::string>& words);

}  // namespace weir::cli
