#pragma once

#include <optional>
#include <string_view>

#include "pipeline/define/definition.h"

namespace weir::pipeline {

/// How many of the tasks before a task have ended, and how. What upstream_failed and cancelled are counts as
/// failed; a failure that is allowed counts as success.
struct UpstreamCounts {
  int remaining = 0;
  int succeeded = 0;
  int failed = 0;
  int skipped = 0;
};

enum class Verdict : std::uint8_t { ready, skipped, upstream_failed };

/// What is to become of a task that waits; nothing: it waits on. The same table is in SQL
/// (weir.task_verdict), and a test compares the two. Pure.
std::optional<Verdict> task_verdict(TriggerRule rule, const UpstreamCounts& counts) noexcept;

/// As the database and the definitions spell it.
std::string_view to_string(TriggerRule rule) noexcept;
std::string_view to_string(Verdict verdict) noexcept;
std::optional<TriggerRule> to_trigger_rule(std::string_view text) noexcept;

/// Whether it may decide while some of those before it have not ended.
constexpr bool decides_early(TriggerRule rule) noexcept {
  return rule == TriggerRule::one_success || rule == TriggerRule::one_failed || rule == TriggerRule::always;
}

}  // namespace weir::pipeline
