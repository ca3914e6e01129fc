#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir::sqlgen {

/// What is wrong with a text, and at which byte.
struct SyntaxError {
  std::size_t offset;
  std::string message;
};

struct Token {
  enum class Kind {
    whitespace,
    line_comment,   ///< from `--` up to the end of the line, which is not part of it
    block_comment,  ///< comments nest in PostgreSQL
    string,         ///< '..', E'..' with its continuation lines, $tag$..$tag$
    quoted_name,    ///< ".."
    word,           ///< a keyword or a plain name
    number,
    parameter,   ///< :name
    positional,  ///< $1
    semicolon,
    symbol,  ///< one character of an operator or a bracket, and `::` and `:=` as a whole
    end,
  };
  Kind kind;
  std::string_view text;
  std::size_t offset;
};

/// Cuts PostgreSQL's SQL into tokens that together are the whole text. It knows as much of the language as it
/// takes to tell `:name` in a statement from a colon in a string, comment, cast, assignment or array slice:
/// inside brackets a colon behind a value is a slice, as in `a[lo:hi]`; for a parameter there, write `a[lo:
/// :hi]`. Plain strings are read with standard_conforming_strings = on.
class SqlLexer {
 public:
  explicit SqlLexer(std::string_view text) noexcept : text_(text) {}

  /// Kind `end` at the end, again and again. Throws SyntaxError for what is opened and never closed.
  Token next();

 private:
  [[nodiscard]] char peek(std::size_t ahead = 0) const noexcept;
  [[nodiscard]] bool at(std::string_view prefix) const noexcept {
    return text_.substr(position_).starts_with(prefix);
  }
  Token::Kind scan();
  Token::Kind scan_block_comment();
  Token::Kind scan_quoted(char quote, bool backslashes);
  Token::Kind scan_escape_string();
  Token::Kind scan_dollar();
  Token::Kind scan_colon();
  Token::Kind scan_number();
  Token::Kind scan_symbol();
  void skip_name() noexcept;
  /// Whether what follows is a line break and then another piece of the same string; moves there.
  bool skip_to_continuation() noexcept;

  std::string_view text_;
  std::size_t position_ = 0;
  int brackets_ = 0;
  bool after_value_ = false;
};

/// 1 for the first line.
std::size_t line_of(std::string_view text, std::size_t offset) noexcept;

}  // namespace weir::sqlgen
