#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "load/value/cell.h"
#include "load/value/json_break.h"

namespace weir::load {

/// Takes JSON objects apart into cells, one object after the other.
class JsonCells {
 public:
  struct Options {
    /// Objects inside the object become columns `outer__inner` down to this many levels.
    std::size_t flatten = 0;
    /// Keys that have no column yet: a new column, or only remembered.
    bool grow = true;
    std::size_t max_columns = 20000;
  };

  explicit JsonCells(Options options);
  ~JsonCells();
  JsonCells(const JsonCells&) = delete;
  JsonCells& operator=(const JsonCells&) = delete;

  /// A column that is known beforehand. `path` are the keys that lead to it. An object that has columns
  /// inside is never a column itself.
  std::size_t declare(const std::vector<std::string>& path, const std::string& name);
  /// The column gets every value as it is written in JSON, strings with their quotes: for json and jsonb.
  void keep_json(std::size_t column);

  [[nodiscard]] const std::vector<std::string>& columns() const noexcept;
  /// `text` has kJsonPadding readable bytes behind it. Answers what is wrong with it, or nothing.
  std::optional<JsonBreak> read(std::string_view text);
  /// Of the last object, in the order of columns(); views that live until the next one is read, and as long
  /// as its text.
  [[nodiscard]] std::span<const Cell> cells() const noexcept;
  /// Keys that were met and have no column, the first of them only.
  [[nodiscard]] const std::vector<std::string>& unknown_keys() const noexcept;

 private:
  class Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace weir::load
