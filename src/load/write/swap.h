#pragma once

#include "load/write/apply.h"

namespace weir::load {

/// The modes that build a table aside and put it in the place of the old one: swap and partition-swap. As
/// apply(), which calls it.
Applied swap(const std::function<pg::Session()>& connect, const Target& target, const LoadSpec& spec,
             const Stage::Sealed& stage, const std::optional<StateChange>& state,
             const ApplyOptions& options);

}  // namespace weir::load
