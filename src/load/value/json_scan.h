#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace weir::load {

/// So deep may arrays and objects stand in each other. The server's limit comes from its stack
/// (max_stack_depth, 2 MB unless somebody changed it) and is a little higher.
inline constexpr std::size_t kMostJsonDepth = 5000;

struct JsonFault {
  std::size_t position = 0;
  std::string_view what;  ///< "a value is missing"
};

/// Why PostgreSQL's json would refuse it, which has to be good UTF-8 (find_text_fault()). With `for_jsonb`
/// also what only jsonb refuses: \u0000, half a surrogate pair, numbers beyond numeric.
std::optional<JsonFault> find_json_fault(std::string_view json, bool for_jsonb);

}  // namespace weir::load
