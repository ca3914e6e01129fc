#pragma once

#include <cstddef>
#include <string_view>

namespace weir::pipeline {

/// Pieces of SQL, as far as it takes to find the ends of statements.
struct SqlToken {
  enum class Kind {
    word,  ///< a keyword or a name without quotes
    quoted,
    semicolon,
    open,   ///< (
    close,  ///< )
    backslash,
    other,
    end,
    unterminated,  ///< a quote or a comment from `begin` has no end
  };
  Kind kind = Kind::end;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Walks over SQL; comments and blanks are passed over.
class SqlLexer {
 public:
  explicit SqlLexer(std::string_view text) : text_(text) {}
  SqlToken next();

 private:
  /// False where a comment has no end; `at_` is its begin then.
  bool skip_blanks();
  bool skip_block_comment();
  std::size_t end_of_string(std::size_t at, char quote, bool escapes) const;
  [[nodiscard]] bool string_goes_on(std::size_t& at) const;
  [[nodiscard]] std::size_t end_of_dollar_quote(std::size_t at) const;
  [[nodiscard]] std::size_t end_of_word(std::size_t at) const;

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace weir::pipeline
