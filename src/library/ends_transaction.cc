#include "library/ends_transaction.h"

#include <algorithm>
#include <cstddef>

namespace weir {
namespace {

/// Behind what is no word: blanks, empty statements, comments. Those between slashes nest.
std::string_view skip_to_word(std::string_view sql) noexcept {
  int depth = 0;
  while (!sql.empty()) {
    if (sql.starts_with("/*")) {
      ++depth;
      sql.remove_prefix(2);
    } else if (depth > 0 && sql.starts_with("*/")) {
      --depth;
      sql.remove_prefix(2);
    } else if (depth == 0 && sql.starts_with("--")) {
      sql.remove_prefix(std::min(sql.find_first_of("\r\n"), sql.size()));
    } else if (depth > 0 || std::string_view(" \t\r\n\f\v;").find(sql.front()) != std::string_view::npos) {
      sql.remove_prefix(1);
    } else {
      break;
    }
  }
  return sql;
}

char upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
bool is_letter(char c) noexcept { return (upper(c) >= 'A' && upper(c) <= 'Z') || c == '_'; }
bool is(std::string_view word, std::string_view keyword) noexcept {
  return std::equal(word.begin(), word.end(), keyword.begin(), keyword.end(),
                    [](char a, char b) { return upper(a) == b; });
}

class Words {
 public:
  explicit Words(std::string_view sql) noexcept : left_(sql) {}
  /// Empty where there is none.
  std::string_view next() noexcept {
    left_ = skip_to_word(left_);
    const auto end = std::find_if_not(left_.begin(), left_.end(), is_letter);
    const std::string_view word = left_.substr(0, static_cast<std::size_t>(end - left_.begin()));
    left_.remove_prefix(word.size());
    return word;
  }

 private:
  std::string_view left_;
};

}  // namespace

bool ends_transaction(std::string_view sql) noexcept {
  Words words(sql);
  const std::string_view first = words.next();
  if (is(first, "PREPARE")) return is(words.next(), "TRANSACTION");
  if (is(first, "ROLLBACK")) {
    std::string_view next = words.next();
    if (is(next, "WORK") || is(next, "TRANSACTION")) next = words.next();
    return !is(next, "TO");
  }
  return is(first, "COMMIT") || is(first, "END") || is(first, "ABORT");
}

}  // namespace weir
