#pragma once

#include <memory>

#include "cli/command.h"
#include "pg/conninfo.h"
#include "pipeline/run/deploy.h"
#include "pipeline/run/worker.h"

namespace weir::cli {

/// --slots, --drain, --lease, --once of a command that works on pipelines.
pipeline::WorkerOptions read_worker_options(const Arguments& given);

/// Checks the project and makes its pipelines the ones that run.
pipeline::DeployReport deploy_project(Context& context, const pg::Conninfo& conninfo,
                                      const pipeline::ProjectDefinition& project);

std::unique_ptr<pipeline::Worker> make_pipeline_worker(Context& context, const pg::Conninfo& conninfo,
                                                       const pipeline::ProjectDefinition& project);

/// `weir worker` of a project: deploys nothing, works on what is deployed until a stop, or, with --once,
/// until nothing is left.
ExitCode work_on_pipelines(Context& context);

}  // namespace weir::cli
