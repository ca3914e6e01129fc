#pragma once

#include <string>
#include <vector>

#include "pg/session.h"
#include "pipeline/define/definition.h"
#include "pipeline/define/definition_diff.h"

namespace weir::pipeline {

/// What a deployment does to one pipeline, or would do.
struct PipelineChange {
  enum class Kind : std::uint8_t { added, changed, unchanged, removed };
  std::string name;
  Kind kind = Kind::unchanged;
  int version = 0;        ///< that runs from now on; 0: not stored yet
  DefinitionDiff diff{};  ///< of `changed`
};

struct DeployReport {
  std::vector<PipelineChange> pipelines;
};

/// What deploy() would do. Reads only.
DeployReport plan_deployment(pg::Session& session, const ProjectDefinition& project);

/// Stores the project's pipelines, in one transaction: runs that have begun keep the version they began with.
/// Pipelines of the project that are not in it any more make no more runs. Throws when a name is another
/// project's.
DeployReport deploy(pg::Session& session, const ProjectDefinition& project);

}  // namespace weir::pipeline
