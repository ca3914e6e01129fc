#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "pg/session.h"
#include "pipeline/run/definitions.h"

namespace weir::pipeline {

/// Makes runs when their time has come or their datasets were updated. Any number of processes do it: who
/// fires a pipeline holds its row, and moves its next time in the transaction that makes the runs.
class Scheduler {
 public:
  explicit Scheduler(Definitions& definitions) : definitions_(definitions) {}

  /// Runs that are due by the server's clock, or by `now` in tests; answers how long until the next one is,
  /// at most `longest`.
  Duration fire(pg::Session& session, Duration longest, std::optional<WallTime> now = std::nullopt);
  /// Pipelines whose datasets were all updated.
  void fire_updated(pg::Session& session);

 private:
  /// `current`: the one that it was at when it threw.
  std::size_t fire_some(pg::Session& session, std::optional<WallTime> now, std::int32_t wanted,
                        std::int32_t& current);
  /// Null where a newer Weir has written it: others schedule it, and it does not come here again.
  std::shared_ptr<const PipelineDefinition> read(pg::Session& session, std::int32_t pipeline,
                                                 std::int32_t version, std::string_view name);

  Definitions& definitions_;
};

}  // namespace weir::pipeline
