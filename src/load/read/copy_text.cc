#include "load/read/copy_text.h"

namespace weir::load {
namespace {

int octal_value(std::string_view text, std::size_t at) noexcept {
  return at < text.size() && text[at] >= '0' && text[at] <= '7' ? text[at] - '0' : -1;
}

int hex_value(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return -1;
  const char c = text[at];
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// A byte given by its number: `at` is that of its first digit, and goes behind the last.
char numbered(std::string_view text, std::size_t& at, int (*digit)(std::string_view, std::size_t), int base,
              int most) {
  int number = 0;
  for (int i = 0; i < most && digit(text, at) >= 0; ++i) number = number * base + digit(text, at++);
  return static_cast<char>(number);
}

void append_unescaped(std::string_view field, std::string& out) {
  for (std::size_t at = 0; at < field.size();) {
    const std::size_t slash = field.find('\\', at);
    out.append(field.substr(at, slash == std::string_view::npos ? slash : slash - at));
    if (slash == std::string_view::npos) return;
    at = slash + 1;
    if (at == field.size()) {
      out.push_back('\\');
      return;
    }
    const char c = field[at];
    if (octal_value(field, at) >= 0) {
      out.push_back(numbered(field, at, octal_value, 8, 3));
      continue;
    }
    ++at;
    switch (c) {
      case 'b': out.push_back('\b'); break;
      case 'f': out.push_back('\f'); break;
      case 'n': out.push_back('\n'); break;
      case 'r': out.push_back('\r'); break;
      case 't': out.push_back('\t'); break;
      case 'v': out.push_back('\v'); break;
      case 'x':
        if (hex_value(field, at) >= 0) {
          out.push_back(numbered(field, at, hex_value, 16, 2));
        } else {
          out.push_back(c);
        }
        break;
      default: out.push_back(c);
    }
  }
}

}  // namespace

void CopyTextRow::read(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  fields_.clear();
  unescaped_.clear();
  // Views into it are handed out, so it may not move while it grows; nothing becomes longer.
  unescaped_.reserve(line.size());
  for (;;) {
    const std::size_t tab = line.find('\t');
    add(line.substr(0, tab));
    if (tab == std::string_view::npos) return;
    line.remove_prefix(tab + 1);
  }
}

void CopyTextRow::add(std::string_view field) {
  if (field == "\\N") {
    fields_.emplace_back(std::nullopt);
    return;
  }
  if (field.find('\\') == std::string_view::npos) {
    fields_.emplace_back(field);
    return;
  }
  const std::size_t begin = unescaped_.size();
  append_unescaped(field, unescaped_);
  fields_.emplace_back(std::string_view(unescaped_).substr(begin));
}

}  // namespace weir::load
