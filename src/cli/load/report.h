#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "cli/term/paint.h"
#include "load/load.h"

namespace weir::cli {

/// What a report is about, beside the report itself.
struct LoadSubject {
  const load::LoadOptions& options;
  /// ALTER TABLE of a contract that evolves; empty: none.
  std::string alter_sql{};
};

/// `weir load --dry-run`: what would be done, step by step, with locks, limits, refusals and warnings. Pure.
std::string plan_text(const load::LoadReport& report, const LoadSubject& subject, const Paint& paint);
nlohmann::ordered_json plan_json(const load::LoadReport& report, const LoadSubject& subject);

/// What a load has done. Pure.
std::string summary_text(const load::LoadReport& report, const LoadSubject& subject, const Paint& paint);
nlohmann::ordered_json summary_json(const load::LoadReport& report, const LoadSubject& subject);

/// "3 inserted, 2 updated, 1 deleted, 194 unchanged"
std::string actions_text(const load::Applied& applied);

}  // namespace weir::cli
