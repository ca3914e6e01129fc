#pragma once

#include <string>

#include "cli/term/paint.h"
#include "pipeline/demo_scheduler.h"

namespace weir::cli {

/// The figures as three tables, so far as there are any.
std::string scheduler_picture(const pipeline::SchedulerFigures& figures, const Paint& paint);

}  // namespace weir::cli
