#pragma once

#include <string>

#include "base/clock.h"

namespace weir::cli {

/// A statement of the user's may take longer than our own.
inline constexpr Duration kSqlTimeout = std::chrono::minutes(10);
/// After which a server that ends the user's SQL itself at its limit counts as lost.
inline constexpr Duration kAnswer = std::chrono::seconds(30);

/// The value of --sql: what stands in the file of that name, else the text itself. Throws usage.
std::string read_sql_argument(const std::string& file_or_text);

}  // namespace weir::cli
