#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "load/value/cell.h"
#include "load/value/column_type.h"

namespace weir::load {

/// What the values of a column have been. Joining two of them is a union, so the order of rows and of samples
/// does not matter.
struct ColumnFacts {
  /// Kinds of values that were seen; see inference.cc.
  std::uint32_t kinds = 0;
  std::uint64_t values = 0;
  std::uint64_t nulls = 0;  ///< with those that were absent
  std::size_t longest = 0;  ///< bytes of the longest value

  void observe(const Cell& cell);
  void join(const ColumnFacts& other) noexcept;
  /// The smallest type that holds every value that was seen. Never int2, int4, float4 or json. text for what
  /// is of several kinds, and for a column without a value.
  [[nodiscard]] Base base() const noexcept;
  [[nodiscard]] bool is_unknown() const noexcept { return kinds == 0; }
};

/// Finds types of columns from a sample of rows, and goes on to the end of the source.
///
/// Text becomes a number only where nothing is lost: 00123 and +49 stay text. An exponent, NaN and Infinity
/// make float8, or numeric where float8 would drop digits. true, false, t and f are boolean; yes, no, 0 and 1
/// are not. A timestamp with a zone among those without is text: nobody knows which zone the others mean.
class Inference {
 public:
  explicit Inference(std::size_t columns = 0) : columns_(columns) {}

  /// A row with more cells than there were makes columns. Answers whether the type of a column changed.
  bool observe(std::span<const Cell> cells);
  void join(const Inference& other);

  [[nodiscard]] const std::vector<ColumnFacts>& columns() const noexcept { return columns_; }
  [[nodiscard]] std::vector<ColumnType> types() const;

 private:
  std::vector<ColumnFacts> columns_;
};

/// Whether a value that goes into the type would also have been inferred as such: '00123' goes into int8, a
/// time into date, twenty digits into float8, and something is lost. Quick where nothing can be.
bool is_kept(const Cell& cell, Base base);

}  // namespace weir::load
