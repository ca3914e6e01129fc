#pragma once

#include <cstdint>
#include <functional>

#include "load/write/apply.h"
#include "pg/error.h"

namespace weir::load {

/// After an answer to COMMIT that was lost: whether the run was applied. The old session may still be at it:
/// who has the target's lock knows that it has ended. Where nobody can look, also because a stop was
/// requested, it throws an InDoubt, never an error from which one could take that nothing was written.
bool was_applied(const std::function<pg::Session()>& connect, const Target& target, std::int64_t run,
                 const ApplyOptions& options, const pg::InDoubt& doubt);

}  // namespace weir::load
