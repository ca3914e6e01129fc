#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pg/session.h"

namespace weir::pipeline {

/// Why a run, or a task of it, is where it is.
struct Explanation {
  std::string subject;  ///< "run 42 of rates", "task load of run 42"
  std::string state;
  std::vector<std::string> reasons;  ///< the first one is what it waits for
};

/// Nothing where there is no such run, or no such task in it.
std::optional<Explanation> explain_run(pg::Session& session, std::int64_t run);
std::optional<Explanation> explain_task(pg::Session& session, std::int64_t run, std::int32_t task,
                                        std::int32_t item);

}  // namespace weir::pipeline
