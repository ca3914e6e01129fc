#pragma once

#include <memory>
#include <string>
#include <vector>

#include "group/demo_groups.h"
#include "group/sink_definition.h"
#include "pg/connector.h"
#include "pg/scratch_database.h"

namespace weir::group::demo {

/// The demo's database, with Weir's schema, an account for each group, and a list of what was applied.
class Stage {
 public:
  Stage(const pg::Conninfo& server, const GroupsDemoOptions& options);

  [[nodiscard]] const GroupsDemoOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::shared_ptr<const pg::Connector> connector() const noexcept { return connector_; }
  [[nodiscard]] pg::Session connect() const;

  /// A feed of that name with one sink of that name, and more batches before it than one way gets through.
  SinkDefinition make_feed(const std::string& name);

  /// As long as one way lasts: holds the row of a group for a quarter of the time, twice, and looks on.
  void watch(const SinkDefinition& sink, std::vector<GroupsDemoWay>& ways) const;
  /// The figures of the way that was watched last, as they are now.
  void read(const SinkDefinition& sink, GroupsDemoWay& way) const;

 private:
  const GroupsDemoOptions& options_;
  pg::ScratchDatabase database_;
  std::shared_ptr<const pg::Connector> connector_;
};

/// What a batch does once its work is done: it is listed, and changes the account of its group.
inline constexpr const char* kEffect =
    "WITH listed AS (INSERT INTO demo.effect (sink_id, run_id, idx) VALUES ($1::int4, $2::int8, $3::int4)) "
    "UPDATE demo.account SET batches = batches + 1 WHERE key = $4";

// The ways. Each adds itself, and calls options.on_frame meanwhile.
void show_shared_connection(Stage& stage, std::vector<GroupsDemoWay>& ways);
void show_own_connections(Stage& stage, std::vector<GroupsDemoWay>& ways);

}  // namespace weir::group::demo
