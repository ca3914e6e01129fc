#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "group/sink_definition.h"
#include "work/outcome.h"

namespace weir::group {

/// What is written of a batch whose attempt has ended. weir.end_batch() knows the words.
struct Ending {
  enum class Kind {
    succeeded,
    retry,     ///< after `delay`; what follows in the group waits for it
    failed,    ///< and with it what is left of its run
    returned,  ///< it was stopped; the attempt does not count
  };
  Kind kind;
  std::optional<std::string> error;
  Duration delay{};
};

std::string_view to_string(Ending::Kind kind) noexcept;

/// Pure. `attempt` is the one that has ended.
Ending decide_ending(const work::Outcome& outcome, int attempt, const SinkDefinition& sink);

}  // namespace weir::group
