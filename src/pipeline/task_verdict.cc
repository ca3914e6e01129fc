#include "pipeline/task_verdict.h"

#include <array>
#include <utility>

namespace weir::pipeline {
namespace {

constexpr std::array<std::pair<TriggerRule, std::string_view>, 7> kRules{{
    {TriggerRule::all_success, "all_success"},
    {TriggerRule::all_done, "all_done"},
    {TriggerRule::one_success, "one_success"},
    {TriggerRule::one_failed, "one_failed"},
    {TriggerRule::none_failed, "none_failed"},
    {TriggerRule::none_failed_min_one_success, "none_failed_min_one_success"},
    {TriggerRule::always, "always"},
}};

}  // namespace

std::optional<Verdict> task_verdict(TriggerRule rule, const UpstreamCounts& counts) noexcept {
  using enum TriggerRule;
  if (rule == always) return Verdict::ready;
  if (rule == one_success && counts.succeeded > 0) return Verdict::ready;
  if (rule == one_failed && counts.failed > 0) return Verdict::ready;
  if (counts.remaining > 0) return std::nullopt;
  if (rule == all_done) return Verdict::ready;
  if (rule == one_failed) return Verdict::skipped;
  if (counts.failed > 0) return Verdict::upstream_failed;
  if (counts.skipped > 0 && rule == all_success) return Verdict::skipped;
  if (counts.skipped > 0 && counts.succeeded == 0 && rule != none_failed) return Verdict::skipped;
  return Verdict::ready;
}

std::string_view to_string(TriggerRule rule) noexcept {
  for (const auto& [each, text] : kRules) {
    if (each == rule) return text;
  }
  return "";
}

std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::ready: return "ready";
    case Verdict::skipped: return "skipped";
    case Verdict::upstream_failed: return "upstream_failed";
  }
  return "";
}

std::optional<TriggerRule> to_trigger_rule(std::string_view text) noexcept {
  for (const auto& [rule, name] : kRules) {
    if (name == text) return rule;
  }
  return std::nullopt;
}

}  // namespace weir::pipeline
