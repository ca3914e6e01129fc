#include "load/read/sqlite_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_set>

#include <fmt/format.h>
#include <sqlite3.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::load {
namespace {

struct Declared {
  std::string_view word;
  Base base;
};

/// Words as people declare them, exact first; SQLite itself only looks for parts of them.
constexpr std::array<Declared, 12> kWords = {{{"BOOLEAN", Base::boolean},
                                              {"BOOL", Base::boolean},
                                              {"DATE", Base::date},
                                              {"DATETIME", Base::timestamp},
                                              {"TIMESTAMP", Base::timestamp},
                                              {"TIME", Base::time},
                                              {"UUID", Base::uuid},
                                              {"JSON", Base::jsonb},
                                              {"JSONB", Base::jsonb},
                                              {"NUMERIC", Base::numeric},
                                              {"DECIMAL", Base::numeric},
                                              {"NUMBER", Base::numeric}}};
/// SQLite's own rules (datatype3.html, 3.1), in their order.
constexpr std::array<Declared, 8> kParts = {{{"INT", Base::int8},
                                             {"CHAR", Base::text},
                                             {"CLOB", Base::text},
                                             {"TEXT", Base::text},
                                             {"BLOB", Base::bytea},
                                             {"REAL", Base::float8},
                                             {"FLOA", Base::float8},
                                             {"DOUB", Base::float8}}};

/// Integers up to it, either sign, are in double precision what they are.
constexpr std::int64_t kMostExact = std::int64_t{1} << 53U;

std::optional<ColumnType> type_of_declaration(const char* declaration) {
  if (declaration == nullptr) return std::nullopt;
  std::string text(declaration);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  const std::string_view word = trim(std::string_view(text).substr(0, text.find('(')));
  for (const Declared& known : kWords) {
    if (word == known.word) return type_of(known.base);
  }
  for (const Declared& part : kParts) {
    if (word.find(part.word) != std::string_view::npos) return type_of(part.base);
  }
  return std::nullopt;
}

/// The fewest digits that are this number again, and always so that it can be told from an integer.
void write_real(double value, std::string& out) {
  if (std::isinf(value)) {
    out = value > 0 ? "Infinity" : "-Infinity";
    return;
  }
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.assign(digits.data(), end);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
}

}  // namespace

void SqliteReader::CloseDatabase::operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
void SqliteReader::CloseStatement::operator()(sqlite3_stmt* statement) const noexcept {
  sqlite3_finalize(statement);
}

std::string SqliteReader::query_of_table(std::string_view name) {
  std::string quoted = "SELECT * FROM \"";
  for (const char c : name) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

SqliteReader::SqliteReader(const std::filesystem::path& file, const std::string& query, SqliteOptions options)
    : file_(file) {
  open(options);
  prepare(query);
  describe();
}

SqliteReader::~SqliteReader() = default;

void SqliteReader::open(const SqliteOptions& options) {
  std::error_code missing;
  if (!std::filesystem::exists(file_, missing)) {
    throw Error(ExitCode::failed, fmt::format("there is no SQLite database {}", file_.string()),
                "A relative name is looked up in the current folder.");
  }
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(file_.c_str(), &database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
  database_.reset(database);
  if (code != SQLITE_OK) fail(code, "cannot open it");
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(options.busy_timeout).count();
  sqlite3_busy_timeout(database,
                       static_cast<int>(std::min<std::int64_t>(millis, std::numeric_limits<int>::max())));
  constexpr std::size_t kMost = std::numeric_limits<int>::max();
  sqlite3_limit(database, SQLITE_LIMIT_LENGTH, static_cast<int>(std::min(options.max_value_bytes, kMost)));
}

void SqliteReader::prepare(const std::string& query) {
  if (query.find('\0') != std::string::npos) throw Error(ExitCode::definition, "a zero byte in the query");
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  const int code = sqlite3_prepare_v2(database_.get(), query.c_str(), static_cast<int>(query.size() + 1),
                                      &statement, &rest);
  statement_.reset(statement);
  if (code != SQLITE_OK) fail(code, "cannot run the query");
  if (statement == nullptr)
    throw Error(ExitCode::definition, fmt::format("{}: the query is empty", file_.string()));
  // What follows may be a comment: that compiles to nothing.
  sqlite3_stmt* second = nullptr;
  const int more = sqlite3_prepare_v2(database_.get(), rest, -1, &second, nullptr);
  sqlite3_finalize(second);
  if (more != SQLITE_OK || second != nullptr) {
    throw Error(ExitCode::definition,
                fmt::format("{}: the query is more than one statement", file_.string()));
  }
  if (sqlite3_stmt_readonly(statement) == 0 || sqlite3_column_count(statement) == 0) {
    throw Error(ExitCode::definition,
                fmt::format("{}: the query is not one that only reads rows", file_.string()));
  }
}

void SqliteReader::describe() {
  sqlite3_stmt* const statement = statement_.get();
  std::unordered_set<std::string> names;
  for (int i = 0; i < sqlite3_column_count(statement); ++i) {
    const char* given = sqlite3_column_name(statement, i);
    if (given == nullptr) throw std::bad_alloc();
    std::string name(given);
    if (!names.insert(name).second) {
      throw Error(ExitCode::definition,
                  fmt::format("{}: the query has two columns named '{}'", file_.string(), printable(name)),
                  "Give one of them another name: SELECT .. AS name.");
    }
    columns_.push_back(std::move(name));
    hints_.push_back(type_of_declaration(sqlite3_column_decltype(statement, i)));
  }
  cells_.resize(columns_.size());
  seen_.resize(columns_.size());
  numbers_.resize(columns_.size());
}

std::optional<ColumnType> SqliteReader::hint(std::size_t column) const {
  const std::optional<ColumnType>& said = hints_.at(column);
  const bool open = !said || said->base == Base::int8;
  if (open && seen_[column].real && !seen_[column].other) return type_of(Base::float8);
  return said;
}

std::optional<Record> SqliteReader::next() {
  if (!statement_) return std::nullopt;
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_DONE) {
    statement_.reset();
    return std::nullopt;
  }
  if (code != SQLITE_ROW) fail(code, fmt::format("reading broke off behind row {}", rows_));
  Record record;
  record.line = ++rows_;
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    reason_ = take(i);
    if (!reason_.empty()) {
      record.malformed = reason_;
      return record;
    }
    bytes_ += cells_[i].text.size();
  }
  record.cells = cells_;
  return record;
}

std::string SqliteReader::take(std::size_t column) {
  sqlite3_stmt* const statement = statement_.get();
  const int at = static_cast<int>(column);
  std::string& number = numbers_[column];
  Cell& cell = cells_[column];
  switch (sqlite3_column_type(statement, at)) {
    case SQLITE_INTEGER: {
      const std::int64_t whole = sqlite3_column_int64(statement, at);
      number = std::to_string(whole);
      seen_[column].other = seen_[column].other || whole > kMostExact || whole < -kMostExact;
      cell = {.kind = Cell::Kind::number, .text = number};
      break;
    }
    case SQLITE_FLOAT: {
      seen_[column].real = true;
      const double value = sqlite3_column_double(statement, at);
      write_real(value, number);
      cell = {.kind = std::isfinite(value) ? Cell::Kind::number : Cell::Kind::text, .text = number};
      break;
    }
    case SQLITE_TEXT: {
      seen_[column].other = true;
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, at));
      if (text == nullptr) throw std::bad_alloc();
      cell = {.kind = Cell::Kind::text,
              .text = {text, static_cast<std::size_t>(sqlite3_column_bytes(statement, at))}};
      if (const auto bad = find_invalid_utf8(cell.text)) {
        return fmt::format("column '{}': byte {} of the text is not UTF-8", printable(columns_[column]),
                           *bad + 1);
      }
      break;
    }
    case SQLITE_BLOB: {
      seen_[column].other = true;
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, at));
      cell = {.kind = Cell::Kind::bytes,
              .text = {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement, at))}};
      break;
    }
    default: cell = {.kind = Cell::Kind::null};
  }
  return {};
}

std::string SqliteReader::tables() const {
  sqlite3_stmt* asked = nullptr;
  std::string names;
  if (sqlite3_prepare_v2(
          database_.get(),
          "SELECT group_concat(name, ', ') FROM (SELECT name FROM sqlite_master WHERE type IN ('table', "
          "'view') ORDER BY name LIMIT 20)",
          -1, &asked, nullptr) == SQLITE_OK &&
      sqlite3_step(asked) == SQLITE_ROW && sqlite3_column_text(asked, 0) != nullptr)
    names = reinterpret_cast<const char*>(sqlite3_column_text(asked, 0));
  sqlite3_finalize(asked);
  return names.empty() ? "It has no tables." : "Its tables are: " + printable(names) + ".";
}

void SqliteReader::fail(int code, std::string_view doing) const {
  const std::string why = database_ ? sqlite3_errmsg(database_.get()) : sqlite3_errstr(code);
  std::string remedy;
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      remedy = "Another program writes to it. Load again when it has finished, or load a copy.";
      break;
    case SQLITE_ERROR: remedy = tables(); break;
    case SQLITE_NOTADB: remedy = "Is it an SQLite database, and not encrypted?"; break;
    case SQLITE_CORRUPT: remedy = "Look at it with: sqlite3 FILE 'PRAGMA integrity_check'"; break;
    case SQLITE_TOOBIG:
      remedy = "A value is longer than the limit. Raise it, or leave the column out of the query.";
      break;
    default: break;
  }
  throw Error(ExitCode::failed, fmt::format("SQLite database {}: {}: {}", file_.string(), doing, why),
              remedy);
}

}  // namespace weir::load
