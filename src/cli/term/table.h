#pragma once

#include <string>
#include <vector>

#include "cli/term/paint.h"

namespace weir::cli {

/// Lines up columns by what the eye sees. The last column is never padded, so lines have no trailing blanks.
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;  ///< a table whose titles are all empty has no header line
    Align align = Align::left;
  };
  struct Cell {
    Cell(std::string value) : text(std::move(value)) {}  // NOLINT(google-explicit-constructor)
    Cell(const char* value) : text(value) {}             // NOLINT(google-explicit-constructor)
    Cell(std::string value, Color shade) : text(std::move(value)), color(shade) {}

    std::string text;
    Color color = Color::plain;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Texts come from servers and files, too: what is not printable is shown as `\xNN`.
  void add(std::vector<Cell> row);
  [[nodiscard]] std::string render(const Paint& paint) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace weir::cli
