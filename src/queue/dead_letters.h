#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "pg/session.h"

namespace weir::queue {

/// Which dead letters: those of all that is said here.
struct DeadFilter {
  std::vector<std::int64_t> jobs;  ///< none: any
  std::optional<std::int32_t> queue;
  std::optional<std::string> kind;
  Duration older_than = Duration::zero();  ///< since their death
};

/// Both say how many there were. What is dropped is gone, its payload too; replay_jobs() would have started
/// it again. Sessions outside of any transaction.
std::int64_t count_dead(pg::Session& session, const DeadFilter& filter);
/// All that are dead by now, in steps that each commit; `on_step` hears how many so far.
std::int64_t drop_dead(pg::Session& session, const DeadFilter& filter,
                       const std::function<void(std::int64_t)>& on_step);

}  // namespace weir::queue
