#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "load/losses.h"
#include "load/matching.h"
#include "load/value/cell.h"
#include "load/value/row_encoder.h"
#include "load/write/stage.h"

namespace weir::load {

/// From records of a source to rows of a stage: which cell goes where, what does not fit, and what is left of
/// a record that is rejected. Pure.
class Router {
 public:
  struct Shape {
    std::vector<Placed> columns;     ///< of the source, as far as they are known
    std::vector<std::string> names;  ///< of the stage
    std::vector<ColumnType> types;   ///< of the stage
    /// Of the stage: those whose type was inferred. What inference would have made of their values too has to
    /// go into it without loss.
    std::vector<bool> inferred{};
    std::vector<std::string> key{};
    Contract contract = Contract::evolve;
    bool text_is_json = true;  ///< see RecordReader
    Losses* losses = nullptr;  ///< where it is noted what is not kept of records that are taken
    bool numbered = true;      ///< line and chunk behind the columns, as a stage has them; a table has not
  };
  explicit Router(Shape shape);

  /// Appends the record's row. Or answers why not, and has appended the row that keeps its key (StageChunk),
  /// where the key is known.
  std::optional<Reject> add(const Record& record, std::int64_t chunk, std::string& out);

  /// Of the last record that was rejected: the column of the stage whose type its value is not.
  [[nodiscard]] const std::optional<std::size_t>& misfit() const noexcept { return misfit_; }
  /// It was rejected for a value in a column that has no place yet.
  [[nodiscard]] bool late() const noexcept { return late_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  /// The record's cells in the order of the stage; valid until the next call.
  std::span<const Cell> arranged(const Record& record);

 private:
  [[nodiscard]] std::optional<Misfit> lossy(std::span<const Cell> cells) const;
  Reject reject(const Record& record, std::string column, std::string reason, std::int64_t chunk,
                std::string& out);
  [[nodiscard]] std::optional<Misfit> rounded(std::span<const Cell> cells) const;
  void note_losses(const Record& record) const;
  bool add_key(const Record& record, std::int64_t chunk, std::string& out);

  Shape shape_;
  RowEncoder encoder_;
  std::vector<std::ptrdiff_t> stage_of_;  // of each column of the source; -1 it is not loaded
  std::vector<std::size_t> inferred_;     // columns of the stage
  std::vector<bool> is_key_;              // of each column of the stage
  bool straight_ = true;                  // the source's columns are the stage's
  std::vector<Cell> row_;
  std::vector<std::size_t> left_out_;  // columns of the source, of the record at hand
  std::vector<std::size_t> nulled_;    // columns of the stage
  std::optional<std::size_t> misfit_;
  bool late_ = false;
};

}  // namespace weir::load
