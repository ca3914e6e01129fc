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

struct EncodeOptions {
  /// What a timestamptz without a zone is read with, in seconds east of Greenwich.
  std::int32_t zone_offset = 0;
  /// A text cell in a json column is JSON as it stands (CSV), else it is a string (the sources that are
  /// JSON).
  bool text_is_json = true;
};

/// Writes rows in the form of COPY BINARY, each value checked here, so that a bad one is known with its place
/// at no cost for the server. What PostgreSQL takes as text for a type is taken here, with the same value;
/// the exceptions are in this folder's README.
class RowEncoder {
 public:
  explicit RowEncoder(std::vector<ColumnType> types, EncodeOptions options = {});

  /// What a COPY BINARY stream begins and ends with.
  static void begin(std::string& out);
  static void end(std::string& out);

  /// Appends a row, or says what does not fit and leaves `out` as it was. cells[i] goes to types[i]; `absent`
  /// is null, and so are the last columns of a row that has fewer cells. `numbers` go behind them as int8
  /// columns: the stage's own.
  std::optional<Misfit> add(std::span<const Cell> cells, std::span<const std::int64_t> numbers,
                            std::string& out) const;

  /// Of the row that add() took last: columns with a time of more digits than PostgreSQL keeps.
  [[nodiscard]] const std::vector<std::size_t>& rounded() const noexcept { return rounded_; }
  [[nodiscard]] const std::vector<ColumnType>& types() const noexcept { return types_; }

 private:
  std::vector<ColumnType> types_;
  EncodeOptions options_;
  mutable std::vector<std::size_t> rounded_;
};

}  // namespace weir::load
