#pragma once

#include <map>
#include <string>

#include "pipeline/define/definition.h"

namespace weir::pipeline {

/// The parameters of a run, as a JSON object: what was given, and defaults for the rest. Throws the usage
/// error that names the parameter: unknown, missing, not of its type, or none of its choices.
std::string run_parameters(const PipelineDefinition& pipeline,
                           const std::map<std::string, std::string>& given);

/// Of a run that nobody gives any; those without a default are left out (weir check says so of a schedule).
std::string default_parameters(const PipelineDefinition& pipeline);

}  // namespace weir::pipeline
