#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pg/session.h"

namespace weir::cli {

/// What somebody means by RUN, RUN/TASK or RUN/TASK/ITEM.
struct RunTarget {
  std::int64_t run = 0;
  std::string task{};  ///< empty: the whole run
  std::int32_t item = -1;
};

/// Pure. Throws the usage error.
RunTarget parse_run_target(const std::string& word);

/// The number of a task in its run. Throws the error that says which tasks there are.
std::int32_t find_task(pg::Session& session, const RunTarget& target);
/// Throws the error for a run that is not there.
void require_run(pg::Session& session, std::int64_t run);

}  // namespace weir::cli
