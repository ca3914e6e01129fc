#pragma once

#include <string>
#include <vector>

#include "load/load.h"

namespace weir::pipeline {

/// What the log of a task says of a load that was applied: what `weir load` would have said. Pure.
std::vector<std::string> load_words(const std::string& target, const load::LoadReport& report);

}  // namespace weir::pipeline
