#include "work/json_members.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::work {
namespace {

constexpr std::string_view kSpace = " \t\n\r";

std::size_t skip_space(std::string_view text, std::size_t at) noexcept {
  return std::min(text.find_first_not_of(kSpace, at), text.size());
}

/// Behind the string whose quote is at `at`.
std::size_t skip_string(std::string_view text, std::size_t at) noexcept {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

std::size_t skip_scalar(std::string_view text, std::size_t at) noexcept {
  return std::min(text.find_first_of(",:]} \t\n\r", at), text.size());
}

/// Behind the value that begins at `at`; without recursion, for it may be nested a million times.
std::size_t skip_value(std::string_view text, std::size_t at) noexcept {
  std::size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = skip_string(text, at);
    } else if (c == '[' || c == '{') {
      ++depth;
      ++at;
    } else if (c == ']' || c == '}') {
      if (depth > 0) --depth;
      ++at;
    } else if (c == ',' || c == ':' || kSpace.find(c) != std::string_view::npos) {
      ++at;
      continue;
    } else {
      at = skip_scalar(text, at);
    }
    if (depth == 0) break;
  }
  return at;
}

}  // namespace

std::optional<std::vector<JsonMember>> split_object(std::string_view object, std::size_t most) {
  std::vector<JsonMember> members;
  std::size_t at = skip_space(object, 1);
  while (at < object.size() && object[at] == '"') {
    if (members.size() == most) return std::nullopt;
    const std::size_t key_end = skip_string(object, at);
    const std::size_t value = skip_space(object, skip_space(object, key_end) + 1);
    const std::size_t end = skip_value(object, value);
    members.push_back({object.substr(at, key_end - at), object.substr(value, end - value)});
    at = skip_space(object, end);
    if (at < object.size() && object[at] == ',') at = skip_space(object, at + 1);
  }
  return members;
}

std::optional<std::vector<std::string_view>> split_array(std::string_view array, std::size_t most) {
  std::vector<std::string_view> elements;
  std::size_t at = skip_space(array, 1);
  while (at < array.size() && array[at] != ']') {
    if (elements.size() == most) return std::nullopt;
    const std::size_t end = skip_value(array, at);
    elements.push_back(array.substr(at, end - at));
    at = skip_space(array, end);
    if (at < array.size() && array[at] == ',') at = skip_space(array, at + 1);
  }
  return elements;
}

std::optional<std::string> find_jsonb_fault(std::string_view json) {
  // Well below what the server's default stack allows, and its limit on digits.
  constexpr std::size_t kDepth = 1000;
  constexpr std::size_t kDigits = 1000;
  constexpr std::size_t kExponentDigits = 4;
  std::size_t depth = 0;
  for (std::size_t at = 0; at < json.size();) {
    const char c = json[at];
    if (c == '"') {
      const std::size_t end = skip_string(json, at);
      for (; at < end; ++at) {
        if (json[at] != '\\') continue;
        if (json.substr(at, 6) == "\\u0000") return "it has the character \\u0000";
        ++at;
      }
      at = end;
    } else if (c == '[' || c == '{') {
      if (++depth > kDepth) return fmt::format("it is nested more than {} levels deep", kDepth);
      ++at;
    } else if (c == ']' || c == '}') {
      if (depth > 0) --depth;
      ++at;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      const std::size_t end = skip_scalar(json, at);
      const std::string_view number = json.substr(at, end - at);
      const std::size_t e = number.find_first_of("eE");
      const std::size_t exponent =
          e == std::string_view::npos ? 0 : number.size() - number.find_first_not_of("+-", e + 1);
      if (number.size() > kDigits || exponent > kExponentDigits) {
        return fmt::format("a number in it is too long: {}", elide(number, 40));
      }
      at = end;
    } else {
      ++at;
    }
  }
  return std::nullopt;
}

}  // namespace weir::work
