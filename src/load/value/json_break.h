#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weir::load {

/// What is wrong with a JSON text, and where.
struct JsonBreak {
  std::size_t at = 0;  ///< bytes from its beginning
  std::string reason;
};

/// What is taken for JSON. The grammar is that of RFC 8259 for all.
struct JsonRules {
  std::size_t depth;   ///< of arrays and objects in each other
  bool utf8;           ///< false: it is known to be UTF-8 (find_text_fault())
  bool pairs;          ///< refuses halves of surrogate pairs
  bool jsonb = false;  ///< refuses what only jsonb cannot hold: \u0000, numbers beyond numeric
};
/// A record: deeper than that neither servers nor people follow it.
inline constexpr JsonRules kRecordRules{.depth = 1000, .utf8 = true, .pairs = true};
/// What PostgreSQL takes. Its limit of depth comes from its stack (max_stack_depth, 2 MB unless somebody
/// changed it) and is a little higher.
inline constexpr JsonRules kJsonRules{.depth = 5000, .utf8 = false, .pairs = false};
inline constexpr JsonRules kJsonbRules{.depth = 5000, .utf8 = false, .pairs = true, .jsonb = true};

/// The first fault of a text that should be one JSON value with white space around it. Slower than simdjson,
/// and it looks at all of it.
std::optional<JsonBreak> find_json_break(std::string_view text, const JsonRules& rules = kRecordRules);

/// A number as JSON writes it, whatever its size.
bool is_json_number(std::string_view text) noexcept;

/// The text without JSON's white space at both ends.
std::string_view trim_json(std::string_view text) noexcept;

}  // namespace weir::load
