#include "schema/gen/sql_lexer.h"

#include <algorithm>

namespace weir::sqlgen {
namespace {

using Kind = Token::Kind;

bool is_space(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
/// As PostgreSQL does, every byte of a character beyond ASCII counts as a letter.
bool begins_name(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool continues_name(char c) noexcept { return begins_name(c) || is_digit(c); }

}  // namespace

Token SqlLexer::next() {
  const std::size_t begin = position_;
  if (begin == text_.size()) return {Kind::end, {}, begin};
  const Kind kind = scan();
  const std::string_view text = text_.substr(begin, position_ - begin);
  switch (kind) {
    case Kind::whitespace:
    case Kind::line_comment:
    case Kind::block_comment:
    case Kind::end: break;
    case Kind::semicolon:
      brackets_ = 0;
      after_value_ = false;
      break;
    case Kind::symbol:
      if (text == "[") ++brackets_;
      if (text == "]" && brackets_ > 0) --brackets_;
      after_value_ = text == "]" || text == ")";
      break;
    case Kind::string:
    case Kind::quoted_name:
    case Kind::word:
    case Kind::number:
    case Kind::parameter:
    case Kind::positional: after_value_ = true; break;
  }
  return {kind, text, begin};
}

char SqlLexer::peek(std::size_t ahead) const noexcept {
  return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
}

Kind SqlLexer::scan() {
  const char first = peek();
  if (is_space(first)) {
    while (is_space(peek())) ++position_;
    return Kind::whitespace;
  }
  if (at("--")) {
    position_ = std::min(text_.find('\n', position_), text_.size());
    return Kind::line_comment;
  }
  if (at("/*")) return scan_block_comment();
  if (first == '\'') return scan_quoted('\'', false);
  if (first == '"') return scan_quoted('"', false);
  if ((first == 'e' || first == 'E') && peek(1) == '\'') return scan_escape_string();
  if (begins_name(first)) {
    skip_name();
    return Kind::word;
  }
  if (is_digit(first)) return scan_number();
  if (first == '$') return scan_dollar();
  if (first == ':') return scan_colon();
  return scan_symbol();
}

Kind SqlLexer::scan_block_comment() {
  const std::size_t begin = position_;
  int depth = 0;
  do {
    if (position_ >= text_.size()) throw SyntaxError{begin, "a comment is not closed: */ is missing"};
    if (at("/*")) {
      ++depth;
      position_ += 2;
    } else if (at("*/")) {
      --depth;
      position_ += 2;
    } else {
      ++position_;
    }
  } while (depth > 0);
  return Kind::block_comment;
}

Kind SqlLexer::scan_quoted(char quote, bool backslashes) {
  const std::size_t begin = position_++;
  while (position_ < text_.size()) {
    const char c = text_[position_++];
    if (backslashes && c == '\\') {
      ++position_;
    } else if (c == quote) {
      if (peek() != quote) return quote == '"' ? Kind::quoted_name : Kind::string;
      ++position_;
    }
  }
  throw SyntaxError{begin, quote == '"' ? "a quoted name is not closed" : "a string is not closed"};
}

// Its further pieces, each on a line of its own, obey the same rules although they carry no E.
Kind SqlLexer::scan_escape_string() {
  ++position_;
  do {
    scan_quoted('\'', true);
  } while (skip_to_continuation());
  return Kind::string;
}

bool SqlLexer::skip_to_continuation() noexcept {
  const std::size_t begin = position_;
  bool new_line = false;
  while (position_ < text_.size()) {
    if (is_space(peek())) {
      new_line = new_line || peek() == '\n' || peek() == '\r';
      ++position_;
    } else if (at("--")) {
      position_ = std::min(text_.find('\n', position_), text_.size());
    } else {
      break;
    }
  }
  if (new_line && peek() == '\'') return true;
  position_ = begin;
  return false;
}

Kind SqlLexer::scan_dollar() {
  if (is_digit(peek(1))) {
    ++position_;
    while (is_digit(peek())) ++position_;
    return Kind::positional;
  }
  std::size_t length = 1;
  if (begins_name(peek(length))) {
    while (continues_name(peek(length))) ++length;
  }
  if (peek(length) != '$') return scan_symbol();
  const std::string_view tag = text_.substr(position_, length + 1);
  const std::size_t end = text_.find(tag, position_ + tag.size());
  if (end == std::string_view::npos) {
    throw SyntaxError{position_, "a string is not closed: " + std::string(tag) + " is missing"};
  }
  position_ = end + tag.size();
  return Kind::string;
}

Kind SqlLexer::scan_colon() {
  const bool slice = brackets_ > 0 && after_value_;
  if (at("::") || at(":=")) {
    position_ += 2;
    return Kind::symbol;
  }
  ++position_;
  if (slice || !begins_name(peek())) return Kind::symbol;
  while (continues_name(peek())) ++position_;
  return Kind::parameter;
}

Kind SqlLexer::scan_number() {
  while (continues_name(peek()) || (peek() == '.' && peek(1) != '.')) {
    const bool exponent = peek() == 'e' || peek() == 'E';
    ++position_;
    if (exponent && (peek() == '+' || peek() == '-') && is_digit(peek(1))) ++position_;
  }
  return Kind::number;
}

Kind SqlLexer::scan_symbol() { return text_[position_++] == ';' ? Kind::semicolon : Kind::symbol; }

void SqlLexer::skip_name() noexcept {
  while (continues_name(peek()) || peek() == '$') ++position_;
}

std::size_t line_of(std::string_view text, std::size_t offset) noexcept {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  return 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
}

}  // namespace weir::sqlgen
