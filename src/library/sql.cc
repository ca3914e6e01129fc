#include <array>
#include <charconv>
#include <cmath>

#include <weir/sql.h>

#include "base/error.h"
#include "library/ends_transaction.h"
#include "library/sql_state.h"
#include "pg/params.h"

namespace weir {
namespace {

std::string to_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  std::array<char, 40> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end.ptr};
}

pg::Row row_of(const pg::Result& result, std::size_t row) {
  if (row >= static_cast<std::size_t>(result.rows())) {
    throw Error(ExitCode::usage, "there is no row " + std::to_string(row) + ": the statement answered " +
                                     std::to_string(result.rows()));
  }
  return result[static_cast<int>(row)];
}

}  // namespace

Value::Value(double value) : text_(to_text(value)) {}

std::size_t Rows::size() const noexcept { return static_cast<std::size_t>(data_->result.rows()); }
std::int64_t Rows::affected() const noexcept { return data_->result.affected(); }

bool Rows::is_null(std::size_t row, std::size_t column) const {
  static_cast<void>(row_of(data_->result, row));
  if (column >= static_cast<std::size_t>(data_->result.columns()))
    throw Error(ExitCode::usage, "there is no column " + std::to_string(column));
  return data_->result.is_null(static_cast<int>(row), static_cast<int>(column));
}

std::int64_t Rows::integer(std::size_t row, std::size_t column) const {
  const pg::Row values = row_of(data_->result, row);
  const int at = static_cast<int>(column);
  switch (is_null(row, column) ? pg::oid::kInt8 : data_->result.column_type(at)) {
    case pg::oid::kInt2: return values.get<std::int16_t>(at);
    case pg::oid::kInt4: return values.get<std::int32_t>(at);
    default: return values.get<std::int64_t>(at);
  }
}

double Rows::number(std::size_t row, std::size_t column) const {
  const pg::Row values = row_of(data_->result, row);
  const int at = static_cast<int>(column);
  const bool is_float = !is_null(row, column) && data_->result.column_type(at) == pg::oid::kFloat4;
  return is_float ? static_cast<double>(values.get<float>(at)) : values.get<double>(at);
}

bool Rows::boolean(std::size_t row, std::size_t column) const {
  return row_of(data_->result, row).get<bool>(static_cast<int>(column));
}

std::string Rows::text(std::size_t row, std::size_t column) const {
  const pg::Row values = row_of(data_->result, row);
  const int at = static_cast<int>(column);
  const pg::Oid type = is_null(row, column) ? pg::oid::kText : data_->result.column_type(at);
  if (type == pg::oid::kJson || type == pg::oid::kJsonb)
    return std::string(values.get<pg::JsonView>(at).text);
  return values.get<std::string>(at);
}

Sql::Sql(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Sql::Sql(Sql&& other) noexcept = default;
Sql& Sql::operator=(Sql&& other) noexcept = default;
Sql::~Sql() = default;

Rows Sql::execute_with(const std::string& sql, std::span<const Value> arguments) {
  pg::Params params;
  for (const Value& value : arguments) {
    if (value.text()) {
      params.add(pg::Untyped{*value.text()});
    } else {
      params.add_null(pg::oid::kInferred);
    }
  }
  try {
    if (ends_transaction(sql)) {
      throw Error(
          ExitCode::usage, "a statement would end the transaction that it is given; it was not run",
          "Leave COMMIT and ROLLBACK to whoever began it. ROLLBACK TO a savepoint of your own is fine.");
    }
    return Rows(std::make_shared<Rows::Data>(state_->session->execute_with(sql, params)));
  } catch (const Error& error) {
    if (state_->failure.empty()) state_->failure = error.what();
    throw;
  }
}

void Transaction::commit() {
  if (!state().own || !state().own->is_open())
    throw Error(ExitCode::usage, "the transaction has ended already");
  state().own->commit();
}

void Transaction::rollback() {
  if (state().own && state().own->is_open()) state().own->rollback();
}

}  // namespace weir
