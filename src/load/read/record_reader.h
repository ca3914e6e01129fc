#pragma once

#include <optional>
#include <string>
#include <vector>

#include "load/value/cell.h"
#include "load/value/column_type.h"

namespace weir::load {

/// How far a source was read, for the progress bar. total is 0 where nobody knows (a pipe).
struct ReadProgress {
  std::uint64_t bytes = 0;  ///< of the input as it is stored: compressed bytes of a compressed file
  std::uint64_t total = 0;
};

/// Records of a source, one after the other. Memory stays bounded whatever the source holds. Used by one
/// thread.
///
/// What the source as a whole cannot give (no such file, a command that failed, a server that went away)
/// throws; a record that is broken alone comes with `malformed`, and the next one follows where reading can
/// go on.
class RecordReader {
 public:
  RecordReader() = default;
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;
  virtual ~RecordReader() = default;

  /// The columns that are known. JSON may make more with any record, at the end: existing places stay.
  [[nodiscard]] virtual const std::vector<std::string>& columns() const = 0;
  /// What the source itself says of the column's type. Values need not keep to it.
  [[nodiscard]] virtual std::optional<ColumnType> hint(std::size_t /*column*/) const { return std::nullopt; }
  /// Whether a text for a json column is JSON as it stands (CSV); of sources that are JSON it is a string.
  [[nodiscard]] virtual bool text_is_json() const { return true; }
  /// The column goes into json or jsonb: its values are wanted as they are written in JSON, where they are.
  virtual void keep_json(std::size_t /*column*/) {}
  /// Nothing at the end, which was then reached cleanly.
  virtual std::optional<Record> next() = 0;
  [[nodiscard]] virtual ReadProgress progress() const = 0;
  /// What people should know of how it is read, such as a guess. It may become more while it is read.
  [[nodiscard]] virtual std::vector<std::string> notices() const { return {}; }
};

}  // namespace weir::load
