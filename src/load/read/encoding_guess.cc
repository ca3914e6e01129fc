#include "load/read/encoding_guess.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::load {
namespace {

/// In text of windows-1252 two of its letters are one character of UTF-8 now and then ("Ü–"); of so many
/// bytes above 127 at most one such pair.
constexpr std::size_t kChance = 20;

/// What speaks for UTF-8 and against it.
struct Bytes {
  std::size_t characters = 0;  // of more than one byte
  std::size_t others = 0;      // bytes that are in none
  bool western = true;         // each of those is a character of windows-1252
  std::size_t first = 0;       // where the first of them is
};

/// A character may be cut off where the bytes that are known end.
bool is_cut_off(std::string_view rest) {
  const auto lead = static_cast<unsigned char>(rest.front());
  const std::size_t length = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
  return rest.size() < length && std::all_of(rest.begin() + 1, rest.end(), [](char c) {
           return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
         });
}

bool is_western(unsigned char byte) {
  constexpr std::string_view kUnused{"\x81\x8D\x8F\x90\x9D"};
  return kUnused.find(static_cast<char>(byte)) == std::string_view::npos;
}

Bytes look_at(std::string_view head, bool whole) {
  Bytes bytes;
  for (std::size_t at = 0; at < head.size();) {
    const std::string_view rest = head.substr(at);
    const std::size_t length = utf8_length(rest);
    if (length > 0) {
      bytes.characters += length > 1 ? 1 : 0;
      at += length;
      continue;
    }
    if (!whole && is_cut_off(rest)) break;
    if (bytes.others++ == 0) bytes.first = at;
    bytes.western = bytes.western && is_western(static_cast<unsigned char>(head[at]));
    ++at;
  }
  return bytes;
}

/// Of text that is mostly ASCII every second byte is zero.
std::string_view utf16_without_mark(std::string_view head) {
  std::array<std::size_t, 2> zeros{};
  for (std::size_t i = 0; i < head.size(); ++i) zeros[i % 2] += head[i] == '\0' ? 1U : 0U;
  const auto many = [&](std::size_t these, std::size_t others) {
    return these >= 2 && these >= head.size() / 8 && others <= these / 16;
  };
  if (many(zeros[1], zeros[0])) return "utf-16le";
  return many(zeros[0], zeros[1]) ? "utf-16be" : "";
}

}  // namespace

EncodingGuess guess_encoding(std::string_view head, bool whole) {
  if (head.starts_with("\xFF\xFE")) return {"utf-16le"};
  if (head.starts_with("\xFE\xFF")) return {"utf-16be"};
  if (const std::string_view name = utf16_without_mark(head); !name.empty())
    return {std::string(name), fmt::format("read as {}, which is a guess: every second byte is zero", name)};
  const Bytes bytes = look_at(head, whole);
  if (bytes.others == 0) return {};
  const std::string_view before = head.substr(0, bytes.first);
  const std::string which =
      fmt::format("the byte 0x{:02x} in line {} is not UTF-8", static_cast<unsigned char>(head[bytes.first]),
                  std::count(before.begin(), before.end(), '\n') + 1);
  const bool marked = head.starts_with("\xEF\xBB\xBF");
  if (!marked && bytes.western && bytes.others > kChance * bytes.characters)
    return {"windows-1252", "read as windows-1252, which is a guess: " + which};
  return {"utf-8", "read as UTF-8, but " + which + ": records with such bytes are rejected"};
}

}  // namespace weir::load
