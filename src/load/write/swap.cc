#include "load/write/swap.h"

#include "base/error.h"

namespace weir::load {

Applied swap(const std::function<pg::Session()>& /*connect*/, const Target& /*target*/, const LoadSpec& /*spec*/,
             const Stage::Sealed& /*stage*/, const std::optional<StateChange>& /*state*/,
             const ApplyOptions& /*options*/) {
  throw Error(ExitCode::definition, "the modes swap and partition-swap are not there yet", "Use --mode refresh.");
}

}  // namespace weir::load
