#include "pipeline/task/sql_lexer.h"

#include <algorithm>

#include "base/ascii.h"

namespace weir::pipeline {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

bool is_blank(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool begins_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (static_cast<unsigned char>(c) & 0x80U) != 0;
}

}  // namespace

bool SqlLexer::skip_block_comment() {
  int depth = 0;
  for (std::size_t at = at_; at + 1 < text_.size(); ++at) {
    if (text_[at] == '/' && text_[at + 1] == '*') {
      ++depth;
      ++at;
    } else if (text_[at] == '*' && text_[at + 1] == '/') {
      ++at;
      if (--depth == 0) {
        at_ = at + 1;
        return true;
      }
    }
  }
  return false;
}

bool SqlLexer::skip_blanks() {
  while (at_ < text_.size()) {
    if (is_blank(text_[at_])) {
      ++at_;
    } else if (text_.substr(at_, 2) == "--") {
      at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
    } else if (text_.substr(at_, 2) == "/*") {
      if (!skip_block_comment()) return false;
    } else {
      return true;
    }
  }
  return true;
}

/// A string goes on where nothing but blanks, comments of a line and at least one line end come between.
bool SqlLexer::string_goes_on(std::size_t& at) const {
  bool line_end = false;
  std::size_t look = at;
  while (look < text_.size()) {
    if (is_blank(text_[look])) {
      line_end = line_end || text_[look] == '\n' || text_[look] == '\r';
      ++look;
    } else if (text_.substr(look, 2) == "--") {
      look = std::min(text_.find_first_of("\r\n", look), text_.size());
    } else {
      break;
    }
  }
  if (!line_end || look >= text_.size() || text_[look] != '\'') return false;
  at = look + 1;
  return true;
}

/// `at` is behind the opening quote. A doubled quote reads as two strings side by side, which ends at the
/// same place.
std::size_t SqlLexer::end_of_string(std::size_t at, char quote, bool escapes) const {
  while (at < text_.size()) {
    if (escapes && text_[at] == '\\') {
      at += 2;
      continue;
    }
    if (text_[at] != quote) {
      ++at;
      continue;
    }
    ++at;
    if (!escapes) return at;
    // Only here does it matter that the next piece belongs to this one: it has escapes, too.
    if (at < text_.size() && text_[at] == quote) {
      ++at;
      continue;
    }
    if (!string_goes_on(at)) return at;
  }
  return kNone;
}

/// `at` is the dollar. Itself when no quote begins there.
std::size_t SqlLexer::end_of_dollar_quote(std::size_t at) const {
  std::size_t tag = at + 1;
  if (tag < text_.size() && begins_word(text_[tag]))
    while (tag < text_.size() && (begins_word(text_[tag]) || is_digit(text_[tag]))) ++tag;
  if (tag >= text_.size() || text_[tag] != '$') return at;
  const std::string_view mark = text_.substr(at, tag + 1 - at);
  const std::size_t found = text_.find(mark, tag + 1);
  return found == kNone ? kNone : found + mark.size();
}

std::size_t SqlLexer::end_of_word(std::size_t at) const {
  while (at < text_.size() && (begins_word(text_[at]) || is_digit(text_[at]) || text_[at] == '$')) ++at;
  return at;
}

SqlToken SqlLexer::next() {
  using Kind = SqlToken::Kind;
  if (!skip_blanks()) return {Kind::unterminated, at_, text_.size()};
  const std::size_t begin = at_;
  if (begin >= text_.size()) return {Kind::end, begin, begin};
  const char c = text_[begin];
  const auto token = [&](Kind kind, std::size_t end) {
    if (end == kNone) return SqlToken{Kind::unterminated, begin, text_.size()};
    at_ = end;
    return SqlToken{kind, begin, end};
  };
  const bool escapes = (c == 'e' || c == 'E') && begin + 1 < text_.size() && text_[begin + 1] == '\'';
  if (escapes) return token(Kind::quoted, end_of_string(begin + 2, '\'', true));
  if (c == '\'' || c == '"') return token(Kind::quoted, end_of_string(begin + 1, c, false));
  if (c == '$') {
    const std::size_t end = end_of_dollar_quote(begin);
    return end == begin ? token(Kind::other, begin + 1) : token(Kind::quoted, end);
  }
  if (begins_word(c)) return token(Kind::word, end_of_word(begin));
  // A number takes what hangs on to it, so that in 1e'..' no string with escapes begins.
  if (is_digit(c)) return token(Kind::other, end_of_word(begin));
  const Kind kind = c == ';'    ? Kind::semicolon
                    : c == '('  ? Kind::open
                    : c == ')'  ? Kind::close
                    : c == '\\' ? Kind::backslash
                                : Kind::other;
  return token(kind, begin + 1);
}

}  // namespace weir::pipeline
