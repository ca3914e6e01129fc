#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "pg/row.h"

namespace weir::pg {

/// The answer to a named query: `for (const auto& row : session.run<sql::Due>(..)) use(row.id)`.
/// A row's text views the answer, which therefore has to live as long.
template <class NamedQuery>
class Rows {
 public:
  using Row = typename NamedQuery::Row;

  explicit Rows(Result result) noexcept : result_(std::move(result)) {}

  [[nodiscard]] int size() const noexcept { return result_.rows(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] std::int64_t affected() const noexcept { return result_.affected(); }
  [[nodiscard]] Row operator[](int row) const& { return NamedQuery::decode(result_[row]); }
  Row operator[](int row) const&& = delete;  // its text would view an answer that is gone

  /// The row of a query that always answers exactly one.
  [[nodiscard]] Row one() const& {
    if (size() != 1) {
      raise({.kind = ErrorKind::decode,
             .message = "expected one row, found " + std::to_string(size()),
             .query = std::string(result_.query())});
    }
    return (*this)[0];
  }
  Row one() const&& = delete;

  class Iterator {
   public:
    Iterator(const Rows& rows, int row) noexcept : rows_(&rows), row_(row) {}
    Row operator*() const { return (*rows_)[row_]; }
    Iterator& operator++() noexcept {
      ++row_;
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const Rows* rows_;
    int row_;
  };
  [[nodiscard]] Iterator begin() const noexcept { return {*this, 0}; }
  [[nodiscard]] Iterator end() const noexcept { return {*this, size()}; }

 private:
  Result result_;
};

}  // namespace weir::pg
