#pragma once

#include <cstdint>
#include <optional>
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

/// What it does to a pool.
struct PoolChange {
  enum class Kind : std::uint8_t {
    added,
    changed,
    kept,  ///< it has a limit, and weir.yml does not name it (any more)
  };
  std::string name;
  Kind kind = Kind::changed;
  std::optional<int> before{};  ///< slots; nothing: no limit
  std::optional<int> after{};
};

/// What it does to how long runs are kept.
struct HistoryChange {
  int before_days = 0;
  int after_days = 0;
  std::int64_t lost = 0;   ///< runs that are dropped by it
  bool refrained = false;  ///< and so nothing was done
};

struct DeployReport {
  std::vector<PipelineChange> pipelines;
  std::vector<PoolChange> pools{};
  std::optional<HistoryChange> history{};
};

/// Where a shorter history would drop runs.
enum class HistoryLoss : std::uint8_t {
  refuse,   ///< deploy nothing: throws
  refrain,  ///< deploy the rest
  accept,
};

/// What deploy() would do. Reads only.
DeployReport plan_deployment(pg::Session& session, const ProjectDefinition& project);

/// Stores the project's pipelines, in one transaction: runs that have begun keep the version they began with.
/// Pipelines of the project that are not in it any more make no more runs. Throws when a name is another
/// project's.
DeployReport deploy(pg::Session& session, const ProjectDefinition& project,
                    HistoryLoss loss = HistoryLoss::refuse);

}  // namespace weir::pipeline
