#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "load/value/cell.h"
#include "load/value/column_type.h"

namespace weir::load {

/// Why a value is none of its column's type.
struct Misfit {
  std::size_t column = 0;
  std::string reason;  ///< "'12x' is no int4", "a zero byte at 3, which PostgreSQL's text cannot hold"
};

/// Writes rows in the form of COPY BINARY, each value checked here, so that a bad one is known with its place
/// at no cost for the server. What PostgreSQL takes as text for a type is taken here, with the same value.
class RowEncoder {
 public:
  explicit RowEncoder(std::vector<ColumnType> types);

  /// What a COPY BINARY stream begins and ends with.
  static void begin(std::string& out);
  static void end(std::string& out);

  /// Appends a row, or says what does not fit and leaves `out` as it was. cells[i] goes to types[i]; `absent`
  /// is null. `numbers` go behind them as int8 columns: the stage's own.
  std::optional<Misfit> add(std::span<const Cell> cells, std::span<const std::int64_t> numbers,
                            std::string& out) const;

 private:
  std::vector<ColumnType> types_;
};

}  // namespace weir::load
