#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pg/connector.h"
#include "pg/scratch_database.h"
#include "pipeline/define/definition.h"
#include "pipeline/demo_scheduler.h"
#include "pipeline/run/worker.h"

namespace weir::pipeline::demo {

/// The demo's database, with Weir's schema and the pipelines that are shown.
class Stage {
 public:
  explicit Stage(const pg::Conninfo& server, const SchedulerDemoOptions& options);

  [[nodiscard]] const SchedulerDemoOptions& options() const noexcept { return options_; }
  [[nodiscard]] const std::stop_token& stop() const noexcept { return options_.stop; }
  [[nodiscard]] std::shared_ptr<const pg::Connector> connector() const noexcept { return connector_; }
  [[nodiscard]] pg::Session connect() const;

  /// Each is run as often as it is asked for, all at a time.
  void deploy(std::vector<PipelineDefinition> pipelines);
  /// So many runs of it, begun; answers the last one's id.
  std::int64_t start_runs(const std::string& pipeline, std::int64_t runs);
  /// Started. Its sessions: `slots` and kBesideSlots.
  [[nodiscard]] std::unique_ptr<Worker> worker(std::size_t slots) const;
  /// Claims, outcomes, lease, housekeeping, listening.
  static constexpr std::int64_t kBesideSlots = 5;

  /// Asks `state` again and again, with `look` in between, until it says that it is there.
  void wait_until(const std::function<bool()>& state, const std::function<void()>& look) const;

 private:
  const SchedulerDemoOptions& options_;
  pg::ScratchDatabase database_;
  std::shared_ptr<const pg::Connector> connector_;
};

/// Tasks without an order between them.
PipelineDefinition independent_tasks(std::string name, std::vector<TaskDefinition> tasks);

/// Runs `work(i)` on a thread each, and `look` on this one several times a second, until all have ended; then
/// throws what one of them failed of.
void run_crew(int threads, const std::function<void(int)>& work, const std::function<void()>& look);

// The acts. Each adds to `figures`, and calls options.on_frame meanwhile.
void show_states(Stage& stage, SchedulerFigures& figures);
void show_looks(Stage& stage, SchedulerFigures& figures);
void show_connections(Stage& stage, SchedulerFigures& figures);

PipelineDefinition states_pipeline();
PipelineDefinition looks_pipeline();
PipelineDefinition connections_pipeline(const SchedulerDemoOptions& options);

}  // namespace weir::pipeline::demo
