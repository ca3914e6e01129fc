#pragma once

#include <string>

namespace weir::cli {

/// The value of --sql: what stands in the file of that name, else the text itself. Throws usage.
std::string read_sql_argument(const std::string& file_or_text);

}  // namespace weir::cli
