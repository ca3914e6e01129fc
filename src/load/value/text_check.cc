#include "load/value/text_check.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/text.h"

namespace weir::load {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
constexpr std::size_t kQuotedWidth = 60;

/// No byte is zero or above 0x7F.
bool is_plain(std::uint64_t word) noexcept {
  constexpr std::uint64_t kHigh = 0x8080808080808080U;
  constexpr std::uint64_t kOnes = 0x0101010101010101U;
  return (((word - kOnes) | word) & kHigh) == 0;
}

std::uint64_t load_word(const char* at) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, at, kWord);
  return word;
}

/// How much from the start is surely good: whole words of ASCII.
std::size_t plain_prefix(std::string_view text) noexcept {
  std::size_t at = 0;
  while (text.size() - at >= kWord && is_plain(load_word(text.data() + at))) at += kWord;
  return at;
}

}  // namespace

std::optional<std::size_t> find_text_fault(std::string_view text) noexcept {
  std::size_t at = plain_prefix(text);
  constexpr std::size_t kLong = 64;
  if (text.size() - at >= kLong && std::memchr(text.data() + at, 0, text.size() - at) == nullptr &&
      simdjson::validate_utf8(text.data() + at, text.size() - at)) {
    return std::nullopt;
  }
  while (at < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte == 0) return at;
    const std::size_t length = byte < 0x80 ? 1 : utf8_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return std::nullopt;
}

std::string quoted(std::string_view text) {
  // Bytes that are cut away here are cut away below in any case: a character has at most four.
  std::string shown = printable(text.substr(0, 4 * (kQuotedWidth + 1)));
  return "'" + elide(shown, kQuotedWidth) + "'";
}

std::string text_fault_reason(std::string_view text, std::size_t position) {
  if (text[position] == '\0') {
    return fmt::format("a zero byte at {}, which PostgreSQL's text cannot hold", position);
  }
  return fmt::format("the byte 0x{:02x} at {} is not UTF-8", static_cast<unsigned char>(text[position]),
                     position);
}

bool is_word(std::string_view text, std::string_view word) noexcept {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char given, char wanted) {
    return given == wanted || (given >= 'A' && given <= 'Z' && given - 'A' + 'a' == wanted);
  });
}

}  // namespace weir::load
