#pragma once

#include <string>
#include <vector>

#include "pipeline/define/common_reader.h"

namespace weir::pipeline {

/// A pipeline, and what of it can be checked only beside the others.
struct ReadPipeline {
  PipelineDefinition definition;
  std::vector<Position> datasets{};  ///< of its schedule, in their order
  std::vector<Link> pipelines{};     ///< that its tasks wait for
};

/// The folder pipelines/`name`: pipeline.yml and its models. Every mistake is reported; where there is any,
/// the definition is of no use but for looking at names.
ReadPipeline read_pipeline(const std::string& name, const ProjectScope& project, Diagnostics& diagnostics);

}  // namespace weir::pipeline
