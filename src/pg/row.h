#pragma once

#include <iterator>
#include <optional>

#include "pg/result.h"
#include "pg/value.h"

namespace weir::pg {

/// One row of a result: a view, so the result must outlive it.
class Row {
 public:
  Row(const Result& result, int row) noexcept : result_(&result), row_(row) {}

  /// The value of a column as T; std::optional<T> where NULL is possible. Throws an Error of kind decode that
  /// names the query and the column when the type differs, or a NULL comes where T has no place for it.
  template <class T>
  [[nodiscard]] T get(int column) const {
    check_column(column);
    if (result_->is_null(row_, column)) {
      if constexpr (detail::IsOptional<T>::value) {
        return std::nullopt;
      } else {
        fail(column, "is NULL");
      }
    }
    try {
      if constexpr (detail::IsOptional<T>::value) {
        return Codec<typename T::value_type>::decode(result_->column_type(column),
                                                     result_->bytes(row_, column));
      } else {
        return Codec<T>::decode(result_->column_type(column), result_->bytes(row_, column));
      }
    } catch (const DecodeFailure& failure) {
      fail(column, failure.reason);
    }
  }

 private:
  void check_column(int column) const;
  [[noreturn]] void fail(int column, std::string_view reason) const;

  const Result* result_;
  int row_;
};

class Result::Iterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = Row;
  using difference_type = int;

  Iterator(const Result& result, int row) noexcept : result_(&result), row_(row) {}
  Row operator*() const noexcept { return {*result_, row_}; }
  Iterator& operator++() noexcept {
    ++row_;
    return *this;
  }
  friend bool operator==(const Iterator&, const Iterator&) = default;

 private:
  const Result* result_;
  int row_;
};

inline Row Result::operator[](int row) const noexcept { return {*this, row}; }
inline Result::Iterator Result::begin() const noexcept { return {*this, 0}; }
inline Result::Iterator Result::end() const noexcept { return {*this, rows()}; }

}  // namespace weir::pg
