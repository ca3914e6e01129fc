#pragma once

#include <functional>
#include <string>

#include "pg/connector.h"

namespace weir::test {

/// Looks again and again until the state is there; throws, naming it, when it does not come. For states that
/// nothing announces, such as those of other processes; within the process a TestSignal is better.
void wait_until(const std::function<bool()>& state, const std::string& what,
                Duration limit = std::chrono::seconds(20));

/// Until midnight in UTC where that is less than `before` away, and until `after` has passed since: for tests
/// in which days are computed more than once, or lie in the past.
void wait_past_midnight(Duration before, Duration after);

// Of server processes. Each opens a session of its own to look.
void wait_until_active(const pg::Connector& connector, int pid);   ///< runs a statement
void wait_until_blocked(const pg::Connector& connector, int pid);  ///< waits for a lock
void wait_until_gone(const pg::Connector& connector, int pid);

void terminate_backend(const pg::Connector& connector, int pid);

}  // namespace weir::test
