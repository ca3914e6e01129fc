#pragma once

#include <vector>

#include "pipeline/define/definition.h"
#include "pipeline/define/fields.h"

namespace weir::pipeline {

/// What of a pipeline is not its tasks. `datasets` are the places of those of the schedule, in order.
ScheduleDefinition read_schedule(Reading& reading, Fields& pipeline, std::vector<Position>& datasets);
std::vector<Parameter> read_parameters(Reading& reading, Fields& pipeline);

}  // namespace weir::pipeline
