#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace weir::work {

/// Where `text` stops being JSON; nothing when it is. Numbers are text here, as they are to jsonb: one that
/// no double can hold is as good as any. Keeps nothing of it but a bit for each level of nesting.
std::optional<std::size_t> find_json_fault(std::string_view text);

}  // namespace weir::work
