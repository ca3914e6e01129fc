#pragma once

#include <functional>
#include <string>

#include "base/backoff.h"
#include "load/write/apply.h"

namespace weir::load {

/// How long a writer waits before it tries for the target again, after `attempt` attempts: short at first,
/// since most locks are.
inline Duration retry_pause(int attempt) {
  return backoff_delay({std::chrono::milliseconds(50), std::chrono::seconds(5), 2.0, 1.0}, attempt,
                       random_unit());
}

/// For lock_timeout and its kind: to PostgreSQL 0 is no limit at all, so it is 1 ms at least.
std::string limit_of(Duration span);

/// Tells why, and waits so long. Throws (stopped) where a stop ends it.
void wait_to_retry(const ApplyOptions& options, int attempt, const std::string& why);

/// Throws failed, and names whom it may have waited for.
[[noreturn]] void give_up(const std::function<pg::Session()>& connect, const Target& target, int attempts,
                          const std::string& why);

/// Throws TargetMoved: the name is another table's now, or the table is not what it was.
[[noreturn]] void refuse_moved(const Target& target);

/// The server has met a relation that was dropped or renamed: 42P01, or that its number is none any more.
bool is_gone(const pg::Error& error);

}  // namespace weir::load
