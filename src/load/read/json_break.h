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

/// Nesting beyond this is refused: servers and people stop following it.
inline constexpr std::size_t kMaxJsonDepth = 1000;

/// The first fault of a text that should be one JSON value with white space around it, by RFC 8259: UTF-8, no
/// half of a surrogate pair, no NaN. Slower than simdjson, and it looks at all of it.
std::optional<JsonBreak> find_json_break(std::string_view text);

/// A number as JSON writes it, whatever its size.
bool is_json_number(std::string_view text) noexcept;

/// The text without JSON's white space at both ends.
std::string_view trim_json(std::string_view text) noexcept;

}  // namespace weir::load
