#pragma once

#include <memory>
#include <string>

#include "cli/command.h"
#include "pg/connector.h"
#include "pipeline/define/definition.h"
#include "pipeline/run/surroundings.h"

namespace weir::cli {

/// The project in --project, checked. Throws the error of definitions after it has told all mistakes on
/// standard error.
pipeline::ProjectDefinition load_project(const Context& context);
/// Whether there is one at all: a folder without weir.yml is none.
bool is_project(const GlobalOptions& global);

/// What tasks find around them here.
pipeline::Surroundings task_surroundings(const Context& context, const pg::Conninfo& conninfo,
                                         const pipeline::ProjectDefinition& project);

/// A pipeline by its name, as it is deployed. Throws the error that says what there is instead.
struct DeployedPipeline {
  std::int32_t id = 0;
  std::int32_t version = 0;
  bool paused = false;
  pipeline::PipelineDefinition definition;
};
DeployedPipeline find_pipeline(pg::Session& session, const std::string& name);

}  // namespace weir::cli
