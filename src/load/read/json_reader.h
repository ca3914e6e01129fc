#pragma once

#include <memory>
#include <string>
#include <vector>

#include "load/read/byte_source.h"
#include "load/read/json_cells.h"
#include "load/read/json_frames.h"
#include "load/read/record_reader.h"

namespace weir::load {

struct JsonOptions {
  JsonShape shape = JsonShape::automatic;
  /// Objects inside a record become columns `outer__inner` down to this many levels; 0 keeps them whole.
  std::size_t flatten = 0;
  /// A record beyond it is malformed. Memory is up to seven times that of the longest record.
  std::size_t max_record_bytes = std::size_t{4} * 1024 * 1024;
  std::size_t max_columns = 20000;
  std::string file{};  ///< for rejects
  /// Of records that were made from another form: see RecordReader::text_is_json().
  bool text_is_json = false;
};

/// JSON objects, one on each line or as the elements of one array. A new key is a new column, at the end.
class JsonReader : public RecordReader {
 public:
  explicit JsonReader(std::unique_ptr<ByteSource> source, JsonOptions options = {});

  /// Goes on with another input and keeps the columns. At the end of the one before, or after its failure.
  void open(std::unique_ptr<ByteSource> source, std::string file);
  /// The column, of a json or jsonb target, gets every value as JSON: a string with its quotes.
  void keep_json(std::size_t column) override {
    if (!options_.text_is_json) cells_.keep_json(column);
  }
  [[nodiscard]] bool text_is_json() const override { return options_.text_is_json; }

  [[nodiscard]] const std::vector<std::string>& columns() const override { return cells_.columns(); }
  std::optional<Record> next() override;
  [[nodiscard]] ReadProgress progress() const override { return frames_->progress(); }

 private:
  JsonOptions options_;
  JsonCells cells_;
  std::unique_ptr<JsonFrames> frames_;
  std::string reason_;
};

/// The record of a text that is broken there. `reason` keeps the words.
Record malformed_record(const JsonFrame& frame, const JsonBreak& fault, std::string& reason);

/// Of a record as it was written, what rejects keep.
std::string_view raw_head(std::string_view text) noexcept;

}  // namespace weir::load
