#pragma once

#include "cli/command.h"
#include "pipeline/run/deploy.h"

namespace weir::cli {

/// `done`: it was deployed; else it would be.
void show_deployment(Context& context, const pipeline::DeployReport& report, bool done);

}  // namespace weir::cli
