#include "group/demo_groups.h"

#include "base/error.h"
#include "group/demo/stage.h"

namespace weir::group {
namespace {

std::vector<GroupsDemoWay> show(const pg::Conninfo& server, const GroupsDemoOptions& options) {
  options.on_step("making the demo's database");
  demo::Stage stage(server, options);
  std::vector<GroupsDemoWay> ways;
  demo::show_shared_connection(stage, ways);
  demo::show_own_connections(stage, ways);
  return ways;
}

}  // namespace

std::vector<GroupsDemoWay> run_groups_demo(const pg::Conninfo& server, const GroupsDemoOptions& options) {
  try {
    std::vector<GroupsDemoWay> ways = show(server, options);
    if (!options.stop.stop_requested()) return ways;
  } catch (const Error&) {
    // A session that is stopped may end as one that was lost.
    if (!options.stop.stop_requested()) throw;
  }
  throw Error(ExitCode::interrupted, "the demo was interrupted");
}

}  // namespace weir::group
