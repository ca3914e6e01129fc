#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weir::load {

/// The position of the first byte that no text of PostgreSQL's can hold: zero, or none of UTF-8.
std::optional<std::size_t> find_text_fault(std::string_view text) noexcept;

/// For a reason: in quotes, at most 60 characters, fit for a terminal.
std::string quoted(std::string_view text);

/// What is wrong at `position`, as find_text_fault() found it.
std::string text_fault_reason(std::string_view text, std::size_t position);

/// Without what C's isspace() takes off, as PostgreSQL's input functions do.
inline std::string_view trim_spaces(std::string_view text) noexcept {
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// `word` is in lower case.
bool is_word(std::string_view text, std::string_view word) noexcept;

}  // namespace weir::load
