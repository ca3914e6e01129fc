#include "load/read/postgres_reader.h"

#include <unordered_set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/read/json_reader.h"
#include "load/read/singer_bytes.h"
#include "load/write/rights.h"

namespace weir::load {
namespace {

/// Without the semicolon at its end, which a subquery does not take.
std::string without_semicolon(std::string query) {
  std::string_view text = trim(query);
  while (text.ends_with(';')) text = trim(text.substr(0, text.size() - 1));
  return std::string(text);
}

}  // namespace

PostgresReader::PostgresReader(pg::Session session, std::string query,
                               const std::vector<std::pair<std::string, std::string>>& settings)
    : session_(std::move(session)) {
  query = without_semicolon(std::move(query));
  // Both statements see the same table: nobody changes its columns in between.
  transaction_.emplace(
      session_, pg::TransactionOptions{.isolation = pg::Isolation::repeatable_read, .read_only = true});
  for (const auto& [name, value] : settings) transaction_->set_local(name, value);
  // How values are written must not depend on the source's settings.
  transaction_->set_local("DateStyle", "ISO, YMD");
  transaction_->set_local("IntervalStyle", "postgres");
  transaction_->set_local("bytea_output", "hex");
  transaction_->set_local("extra_float_digits", "1");
  transaction_->set_local("TimeZone", "UTC");
  describe(query);
  decoded_.reserve(256);
  // A comment at the query's end must not take the bracket with it.
  copy_.emplace(session_, fmt::format("COPY ({}\n) TO STDOUT", query));
}

/// The question is the user's: what the source says of it is told as that.
pg::Result PostgresReader::ask(const std::string& query) {
  try {
    return session_.execute(fmt::format("SELECT * FROM ({}\n) AS described LIMIT 0", query));
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
    if (is_of_rights(error)) {
      throw MissingRight(fmt::format("the source does not let this user read: {}", error.info().message),
                         grant_for(error.info(), {}, Purpose::reading));
    }
    const std::string& hint = error.info().hint;
    throw Error(
        ExitCode::failed,
        fmt::format("the source cannot run the query: {} [{}]", error.info().message, error.sqlstate()),
        hint.empty() ? "A table is named as in SQL; a query is one SELECT." : hint);
  }
}

void PostgresReader::describe(const std::string& query) {
  const pg::Result none = ask(query);
  std::unordered_set<std::string> names;
  for (int i = 0; i < none.columns(); ++i) {
    std::string name(none.column_name(i));
    if (!names.insert(name).second) {
      throw Error(ExitCode::definition, fmt::format("the query has two columns named '{}'", printable(name)),
                  "Give one of them another name: SELECT .. AS name.");
    }
    const pg::Oid type = none.column_type(i);
    const std::int32_t modifier = none.column_modifier(i);
    const pg::Result named = session_.execute("SELECT format_type($1::int8::oid, $2::int4)",
                                              static_cast<std::int64_t>(type), modifier);
    types_.push_back(type_of(type, modifier, named[0].get<std::string>(0)));
    columns_.push_back(std::move(name));
  }
  cells_.resize(columns_.size());
}

std::optional<Record> PostgresReader::next() {
  if (!copy_) return std::nullopt;
  const std::optional<std::string_view> line = copy_->next();
  if (!line) {
    copy_.reset();
    transaction_->commit();
    transaction_.reset();
    session_.close();
    return std::nullopt;
  }
  bytes_ += line->size();
  Record record;
  record.line = ++rows_;
  record.raw = raw_head(*line);
  if (columns_.empty()) {
    record.cells = cells_;
    return record;
  }
  row_.read(*line);
  const auto& fields = row_.fields();
  if (fields.size() != columns_.size()) {
    throw Error(ExitCode::failed, fmt::format("row {} of the source has {} fields instead of {}", rows_,
                                              fields.size(), columns_.size()));
  }
  decoded_.clear();
  decoded_.reserve(line->size());  // views into it are handed out
  for (std::size_t i = 0; i < fields.size(); ++i) {
    cells_[i] = fields[i] ? cell(i, *fields[i]) : Cell{.kind = Cell::Kind::null};
    if (!fields[i] || types_[i].base == Base::bytea) continue;
    // A database in SQL_ASCII holds what it was given.
    if (const auto at = find_invalid_utf8(*fields[i])) {
      reason_ =
          fmt::format("column '{}': byte {} of the value is not UTF-8", printable(columns_[i]), *at + 1);
      record.malformed = reason_;
      return record;
    }
  }
  record.cells = cells_;
  return record;
}

Cell PostgresReader::cell(std::size_t column, std::string_view text) {
  switch (types_[column].base) {
    case Base::boolean: return {.kind = Cell::Kind::boolean, .text = text == "t" ? "true" : "false"};
    case Base::int2:
    case Base::int4:
    case Base::int8:
    case Base::numeric:
    case Base::float4:
    case Base::float8:
      // NaN and Infinity are no numbers as JSON has them.
      return {.kind = is_json_number(text) ? Cell::Kind::number : Cell::Kind::text, .text = text};
    case Base::json:
    case Base::jsonb: return {.kind = Cell::Kind::json, .text = text};
    case Base::bytea: {
      const std::size_t begin = decoded_.size();
      if (!text.starts_with("\\x") || !append_decoded(BytesAs::base16, text.substr(2), decoded_)) break;
      return {.kind = Cell::Kind::bytes, .text = std::string_view(decoded_).substr(begin)};
    }
    default: break;
  }
  return {.kind = Cell::Kind::text, .text = text};
}

}  // namespace weir::load
