#pragma once

#include "load/write/apply.h"
#include "pg/connector.h"

namespace weir::load {

/// How long a target is kept: other loads of it wait.
enum class TargetLock : std::uint8_t { transaction, session };

/// Loads of one table come one after the other; readers and other writers do not notice. Tells when it waits,
/// and throws failed when that takes longer than options.target_wait. Answers how long it was.
Duration lock_target(pg::Session& session, const Target& target, const ApplyOptions& options,
                     TargetLock span);

/// LOCK TABLE in a transaction, so that the wait for it is known, which it answers. A role that may do what
/// comes then but may not say LOCK has not waited: that asks for the lock itself.
Duration lock_by_name(pg::Session& session, const std::string& sql);

/// A stage and a swap hold locks from one transaction to the next: throws refused where a pooler would leave
/// them to somebody else.
void require_own_session(pg::Session& session, const pg::Connector& connector);

}  // namespace weir::load
