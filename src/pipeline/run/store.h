#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pg/session.h"
#include "pipeline/define/definition.h"
#include "pipeline/run_plan.h"

namespace weir::pipeline {

/// What is stored of one definition.
struct StoredDefinition {
  std::string json;  ///< canonical
  std::string hash;  ///< of it
  std::vector<PlannedTask> plan;
  int max_active_runs = 1;
  std::vector<std::string> datasets{};  ///< whose updates make runs
  std::vector<Alert> alerts{};
};

/// Makes it the pipeline's present version, as a new one unless its hash is that of the present one. Answers
/// the version. Within the caller's transaction, which has the pipeline's row.
std::int32_t store_definition(pg::Session& session, std::int32_t pipeline, std::int32_t present,
                              const StoredDefinition& definition);

}  // namespace weir::pipeline
