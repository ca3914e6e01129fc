#pragma once

#include "load/write/apply.h"

namespace weir::load {

/// How long a target is kept: other loads of it wait.
enum class TargetLock : std::uint8_t { transaction, session };

/// Loads of one table come one after the other; readers and other writers do not notice. Tells when it waits,
/// and throws failed when that takes longer than options.target_wait. Answers how long it was.
Duration lock_target(pg::Session& session, const Target& target, const ApplyOptions& options,
                     TargetLock span);

}  // namespace weir::load
