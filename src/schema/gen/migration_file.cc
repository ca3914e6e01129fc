#include "schema/gen/migration_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "schema/gen/query_file.h"
#include "schema/gen/sql_lexer.h"

namespace weir::sqlgen {
namespace {

using Kind = Token::Kind;

bool is_blank(Kind kind) noexcept {
  return kind == Kind::whitespace || kind == Kind::line_comment || kind == Kind::block_comment;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

/// The migrator runs a script in its own transaction, together with the record that it ran. A script that
/// ends this transaction could be applied in part.
void check_statements(std::string_view text) {
  constexpr std::array<std::string_view, 6> kForbidden{"begin",    "start", "commit",
                                                       "rollback", "abort", "end"};
  SqlLexer lexer(text);
  bool at_start = true;
  bool any = false;
  std::size_t last_offset = 0;
  bool after_prepare = false;
  for (Token token = lexer.next(); token.kind != Kind::end; token = lexer.next()) {
    if (is_blank(token.kind)) continue;
    const std::string word = lower(token.text);
    const bool ends_transaction =
        (at_start && std::find(kForbidden.begin(), kForbidden.end(), word) != kForbidden.end()) ||
        (after_prepare && word == "transaction");
    if (ends_transaction) {
      throw SyntaxError{token.offset, "a migration must not control the transaction it runs in (" +
                                          std::string(token.text) + ")"};
    }
    any = true;
    after_prepare = at_start && word == "prepare";
    at_start = token.kind == Kind::semicolon;
    last_offset = token.offset;
  }
  if (!any) throw SyntaxError{0, "the migration has no statement"};
  if (!at_start) throw SyntaxError{last_offset, "the last statement has no semicolon"};
}

}  // namespace

MigrationFile parse_migration(std::string_view file_name, std::string text) {
  constexpr std::string_view kSuffix = ".sql";
  constexpr std::size_t kDigits = 3;
  MigrationFile file;
  std::string_view stem = file_name;
  bool valid = stem.ends_with(kSuffix) && stem.size() > kDigits + 1 + kSuffix.size() && stem[kDigits] == '_';
  if (valid) {
    stem.remove_suffix(kSuffix.size());
    const char* const digits_end = stem.data() + kDigits;
    const auto parsed = std::from_chars(stem.data(), digits_end, file.number);
    file.name = std::string(stem.substr(kDigits + 1));
    valid =
        parsed.ec == std::errc() && parsed.ptr == digits_end && file.number > 0 && is_snake_case(file.name);
  }
  if (!valid)
    throw SyntaxError{0, "a migration's file is named NNN_snake_case.sql, such as 001_foundation.sql"};
  if (const auto invalid = find_invalid_utf8(text)) throw SyntaxError{*invalid, "the text is not UTF-8"};
  if (const std::size_t nul = text.find('\0'); nul != std::string::npos) {
    throw SyntaxError{nul, "the text has a NUL byte"};
  }
  check_statements(text);
  file.checksum = fmt::format("{:016x}", fnv1a(text));
  file.sql = std::move(text);
  return file;
}

std::string numbering_fault(const std::vector<MigrationFile>& files) {
  int expected = 1;
  for (const MigrationFile& file : files) {
    if (file.number < expected) {
      return fmt::format("two migrations have the number {:03}: renumber {:03}_{}.sql", file.number,
                         file.number, file.name);
    }
    if (file.number > expected) {
      return fmt::format("migration {:03} is missing before {:03}_{}.sql", expected, file.number, file.name);
    }
    ++expected;
  }
  return {};
}

}  // namespace weir::sqlgen
