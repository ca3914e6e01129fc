#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cli/command.h"
#include "cli/term/paint.h"
#include "load/write/run.h"

namespace weir::cli {

/// The one word of a command: the number of a run. Throws the usage error that shows `usage`.
std::int64_t run_number(const Context& context, std::string_view usage);

/// Throws when there is none.
load::RunRow require_run(pg::Session& session, std::int64_t run);

std::string runs_text(const std::vector<load::RunRow>& runs, const Paint& paint);
std::string run_text(const load::RunRow& run, const Paint& paint);
nlohmann::ordered_json run_json(const load::RunRow& run);

/// A rejected record; what it says is text where it is one, else base64 (`raw_base64`).
nlohmann::ordered_json reject_json(const load::RejectRow& reject);
std::string reject_csv(const load::RejectRow& reject);
std::string base64(std::string_view bytes);

}  // namespace weir::cli
