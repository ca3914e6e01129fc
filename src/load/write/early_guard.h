#pragma once

#include "load/write/spec.h"
#include "load/write/stage.h"

namespace weir::load {

/// What apply() would refuse for the counts alone, asked before the target gets another shape for the load:
/// an empty source, and deletes beyond the limit as far as keys tell. Throws refused. apply() asks again, of
/// the rows as they are then.
///
/// `target` is as it will be; only its key and its window are read. `exists`: whether it is there yet.
void guard_early(pg::Session& session, const Target& target, bool exists, const LoadSpec& spec,
                 const Stage::Sealed& stage);

}  // namespace weir::load
