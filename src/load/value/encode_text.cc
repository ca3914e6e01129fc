#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "load/value/encode.h"
#include "load/value/field.h"
#include "load/value/text_check.h"

namespace weir::load {
namespace {

constexpr unsigned kNoHex = 16;

unsigned hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return kNoHex;
}

void append_hex(std::string& out, std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back(kHex[byte >> 4U]);
    out.push_back(kHex[byte & 0x0FU]);
  }
}

bool check_text(std::string_view text, std::string& reason) {
  const auto fault = find_text_fault(text);
  if (fault) {
    reason = text_fault_reason(text, *fault);
    return false;
  }
  if (text.size() > kLargestField) {
    reason = fmt::format("{} bytes, more than a value of PostgreSQL's can have", text.size());
    return false;
  }
  return true;
}

/// Where the character `count` begins in good UTF-8; the end where there are not so many.
std::size_t find_character(std::string_view text, std::size_t count) noexcept {
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
    if (begins && count-- == 0) break;
  }
  return at;
}

/// Of varchar(n) and char(n): blanks too many do not count.
bool cut_to_length(std::string_view& text, const ColumnType& type, std::string& reason) {
  const auto limit = length_limit(type);
  if (!limit || text.size() <= *limit) return true;
  const std::size_t cut = find_character(text, *limit);
  if (text.find_first_not_of(' ', cut) != std::string_view::npos) {
    const auto characters = std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
    reason = fmt::format("{} characters are too many for {}({}): {}", characters, base_name(type.base),
                         *limit, quoted(text));
    return false;
  }
  text = text.substr(0, cut);
  return true;
}

/// Behind "\x": pairs of digits, blanks between them.
bool append_from_hex(std::string_view text, std::string& out) {
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++at;
      continue;
    }
    const unsigned high = hex_digit(c);
    const unsigned low = at + 1 < text.size() ? hex_digit(text[at + 1]) : kNoHex;
    if (high == kNoHex || low == kNoHex) return false;
    out.push_back(static_cast<char>(high << 4U | low));
    at += 2;
  }
  return true;
}

/// A backslash is written twice, any byte as a backslash and three octal digits.
bool append_from_escapes(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find('\\'), text.size());
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (text.size() > 1 && text[1] == '\\') {
      out.push_back('\\');
      text.remove_prefix(2);
      continue;
    }
    const auto octal = [&](std::size_t at, char most) { return text[at] >= '0' && text[at] <= most; };
    if (text.size() < 4 || !octal(1, '3') || !octal(2, '7') || !octal(3, '7')) return false;
    out.push_back(static_cast<char>((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0')));
    text.remove_prefix(4);
  }
  return true;
}

}  // namespace

bool encode_text(const Cell& cell, const ColumnType& type, std::string& out, std::string& reason) {
  std::string hex;
  std::string_view text = cell.text;
  if (cell.kind == Cell::Kind::bytes) {
    hex = "\\x";  // as PostgreSQL shows a bytea
    append_hex(hex, cell.text);
    text = hex;
  }
  if (!check_text(text, reason) || !cut_to_length(text, type, reason)) return false;
  put_bytes(out, text);
  return true;
}

bool encode_bytea(const Cell& cell, std::string& out, std::string& reason) {
  if (cell.kind != Cell::Kind::text) {
    if (cell.text.size() > kLargestField) return refuse_range(cell, "bytea", reason);
    put_bytes(out, cell.text);
    return true;
  }
  if (!check_text(cell.text, reason)) return false;
  const std::size_t begin = begin_field(out);
  const bool is_hex = cell.text.starts_with("\\x");
  if (is_hex ? !append_from_hex(cell.text.substr(2), out) : !append_from_escapes(cell.text, out)) {
    return refuse(cell, Base::bytea, reason);
  }
  end_field(out, begin);
  return true;
}

bool encode_uuid(const Cell& cell, std::string& out, std::string& reason) {
  constexpr std::size_t kBytes = 16;
  if (cell.kind == Cell::Kind::bytes && cell.text.size() == kBytes) {
    put_bytes(out, cell.text);
    return true;
  }
  std::string_view text = cell.text;
  if (cell.kind != Cell::Kind::text && cell.kind != Cell::Kind::number)
    return refuse(cell, Base::uuid, reason);
  if (text.size() > 1 && text.front() == '{' && text.back() == '}') text = text.substr(1, text.size() - 2);
  // PostgreSQL lets a hyphen follow any group of four digits.
  std::array<char, kBytes> bytes{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < kBytes; ++i) {
    const unsigned high = at < text.size() ? hex_digit(text[at]) : kNoHex;
    const unsigned low = at + 1 < text.size() ? hex_digit(text[at + 1]) : kNoHex;
    if (high == kNoHex || low == kNoHex) return refuse(cell, Base::uuid, reason);
    bytes.at(i) = static_cast<char>(high << 4U | low);
    at += 2;
    if (i % 2 == 1 && i + 1 < kBytes && at < text.size() && text[at] == '-') ++at;
  }
  if (at != text.size()) return refuse(cell, Base::uuid, reason);
  put_bytes(out, {bytes.data(), bytes.size()});
  return true;
}

}  // namespace weir::load
