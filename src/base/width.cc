#include "base/width.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace weir {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// The blocks of combining marks and of invisible characters that occur in names.
constexpr std::array kZeroWidth{
    Range{0x0300, 0x036F}, Range{0x0483, 0x0489}, Range{0x0591, 0x05BD}, Range{0x0610, 0x061A},
    Range{0x064B, 0x065F}, Range{0x0E34, 0x0E3A}, Range{0x0E47, 0x0E4E}, Range{0x1AB0, 0x1AFF},
    Range{0x1DC0, 0x1DFF}, Range{0x200B, 0x200F}, Range{0x202A, 0x202E}, Range{0x2060, 0x2064},
    Range{0x20D0, 0x20F0}, Range{0xFE00, 0xFE0F}, Range{0xFE20, 0xFE2F}, Range{0xFEFF, 0xFEFF},
};

// East Asian Width "wide" and "full-width", by block.
constexpr std::array kDoubleWidth{
    Range{0x1100, 0x115F},   Range{0x231A, 0x231B},   Range{0x2329, 0x232A},   Range{0x23E9, 0x23EC},
    Range{0x2E80, 0x303E},   Range{0x3041, 0x33FF},   Range{0x3400, 0x4DBF},   Range{0x4E00, 0x9FFF},
    Range{0xA000, 0xA4CF},   Range{0xA960, 0xA97F},   Range{0xAC00, 0xD7A3},   Range{0xF900, 0xFAFF},
    Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},   Range{0xFFE0, 0xFFE6},   Range{0x1F300, 0x1F64F},
    Range{0x1F680, 0x1F6FF}, Range{0x1F900, 0x1F9FF}, Range{0x20000, 0x3FFFD},
};

template <std::size_t N>
bool contains(const std::array<Range, N>& ranges, char32_t code) noexcept {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), code,
                                      [](char32_t value, const Range& range) { return value < range.first; });
  return after != ranges.begin() && code <= std::prev(after)->last;
}

/// Of a character that utf8_length() found to be valid.
char32_t decode(std::string_view character) noexcept {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(character[at]); };
  if (character.size() == 1) return byte(0);
  char32_t code = byte(0) & (0x7FU >> character.size());
  for (std::size_t at = 1; at < character.size(); ++at) code = (code << 6U) | (byte(at) & 0x3FU);
  return code;
}

struct Glyph {
  std::size_t bytes;
  std::size_t columns;
};

Glyph first_glyph(std::string_view text) noexcept {
  const std::size_t length = utf8_length(text);
  if (length == 0) return {1, 1};
  const char32_t code = decode(text.substr(0, length));
  return {length, contains(kZeroWidth, code) ? 0U : contains(kDoubleWidth, code) ? 2U : 1U};
}

/// How many bytes of `text` fit into `width` columns, combining marks of the last character included.
std::size_t head_bytes(std::string_view text, std::size_t width) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    const Glyph glyph = first_glyph(text.substr(at));
    if (glyph.columns > width) break;
    width -= glyph.columns;
    at += glyph.bytes;
  }
  return at;
}

}  // namespace

std::size_t display_width(std::string_view text) noexcept {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Glyph glyph = first_glyph(text);
    columns += glyph.columns;
    text.remove_prefix(glyph.bytes);
  }
  return columns;
}

std::string elide_middle(std::string_view text, std::size_t width) {
  constexpr std::string_view kDots = "...";
  const std::size_t whole = display_width(text);
  if (whole <= width) return std::string(text);
  if (width <= kDots.size()) return std::string(kDots.substr(0, width));
  const std::size_t tail_width = (width - kDots.size()) / 2;
  const std::string_view head = text.substr(0, head_bytes(text, width - kDots.size() - tail_width));
  std::string_view tail = text.substr(head.size());
  while (display_width(tail) > tail_width) tail.remove_prefix(first_glyph(tail).bytes);
  while (!tail.empty() && first_glyph(tail).columns == 0) tail.remove_prefix(first_glyph(tail).bytes);
  return std::string(head) + std::string(kDots) + std::string(tail);
}

}  // namespace weir
