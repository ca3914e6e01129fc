#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "cli/command.h"
#include "pg/connector.h"
#include "pipeline/define/common_reader.h"
#include "pipeline/run/surroundings.h"

namespace weir::cli {

/// The project in a folder, checked. Throws the error of definitions after it has told all mistakes on
/// standard error.
pipeline::ProjectDefinition load_project(const Context& context, const std::filesystem::path& folder);
/// What read_project() is to hold loads against.
pipeline::LoadCheck load_check();
/// Whether there is one at all: a folder without weir.yml is none.
bool is_project(const std::filesystem::path& folder);

/// What tasks find around them here.
pipeline::Surroundings task_surroundings(const pg::Conninfo& conninfo,
                                         const pipeline::ProjectDefinition& project,
                                         const std::filesystem::path& folder);

/// A pipeline by its name, as it is deployed. Throws the error that says what there is instead.
struct DeployedPipeline {
  std::int32_t id = 0;
  std::int32_t version = 0;
  bool paused = false;
  pipeline::PipelineDefinition definition;
};
DeployedPipeline find_pipeline(pg::Session& session, const std::string& name);

/// A note, where what was asked for waits for somebody to do it.
void tell_where_nobody_works(Context& context, pg::Session& session);

}  // namespace weir::cli
