#include "pipeline/demo_scheduler.h"

#include "base/error.h"
#include "pipeline/demo/stage.h"

namespace weir::pipeline {
namespace {

SchedulerFigures show(const pg::Conninfo& server, const SchedulerDemoOptions& options) {
  options.on_step("making the demo's database");
  demo::Stage stage(server, options);
  stage.deploy({demo::states_pipeline(), demo::looks_pipeline(), demo::connections_pipeline(options)});
  SchedulerFigures figures;
  demo::show_states(stage, figures);
  demo::show_looks(stage, figures);
  demo::show_connections(stage, figures);
  return figures;
}

}  // namespace

SchedulerFigures run_scheduler_demo(const pg::Conninfo& server, const SchedulerDemoOptions& options) {
  try {
    SchedulerFigures figures = show(server, options);
    if (!options.stop.stop_requested()) return figures;
  } catch (const Error&) {
    // A session that is stopped may end as one that was lost.
    if (!options.stop.stop_requested()) throw;
  }
  throw Error(ExitCode::interrupted, "the demo was interrupted");
}

}  // namespace weir::pipeline
