#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/clock.h"
#include "cli/command.h"

// What the commands about jobs and queues share: words in, texts out.

namespace weir::cli {

/// The ids of jobs among a command's words. Throws the usage error.
std::vector<std::int64_t> job_ids(const std::vector<std::string>& words);

/// Ids, --queue or --all: one of them. Throws the usage error that asks `question`, or shows `usage`.
void check_choice(const Arguments& given, std::string_view question, std::string_view usage);

/// The words, all of them names of queues; at least one. Throws the usage error that shows `usage`.
const std::vector<std::string>& queue_names(const Context& context, std::string_view usage);

/// "2026-11-21 07:00:00 UTC"; "never" for infinity.
std::string time_text(WallTime time);
/// "2026-11-21T07:00:00.000000Z"; null for nothing and for infinity.
nlohmann::ordered_json time_json(const std::optional<WallTime>& time);

/// Null where there is nothing.
nlohmann::ordered_json or_null(const std::optional<std::int32_t>& value);
nlohmann::ordered_json or_null(const std::optional<std::int64_t>& value);
nlohmann::ordered_json or_null(const std::optional<double>& value);
nlohmann::ordered_json or_null(const std::optional<std::string>& value);
/// An id as text, because a JSON number may lose digits of it; see docs/command-protocol.md.
inline std::string id_json(std::int64_t id) { return std::to_string(id); }

/// The first line of an error, short enough for a table.
std::string first_line(std::string_view text);

/// "1 job", "2 jobs"
std::string jobs_text(std::int64_t count);

}  // namespace weir::cli
