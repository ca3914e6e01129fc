#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::pipeline {

/// Why `name` cannot be that of a project, pipeline, pool, connection or task; nothing when it can. Any
/// script is welcome; what could not be a folder, or would be mistaken for an option on the command line, is
/// not.
std::optional<std::string> name_fault(std::string_view name);

/// Of parameters and environment variables: a letter or _, then letters, digits and _.
bool is_variable_name(std::string_view name) noexcept;

/// "schema.table" or "table", each plain or in double quotes, as SQL reads them and with quotes only where
/// they are needed; nothing when it is neither.
std::optional<std::string> normal_relation(std::string_view text);

/// With quotes where SQL would read it differently without them.
std::string sql_name(std::string_view name);

}  // namespace weir::pipeline
