#include "cli/term/table.h"

#include <algorithm>

#include "base/text.h"
#include "base/width.h"

namespace weir::cli {
namespace {

constexpr std::string_view kGap = "  ";

}  // namespace

void Table::add(std::vector<Cell> row) {
  row.resize(columns_.size(), Cell(""));
  for (Cell& cell : row) cell.text = printable(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::render(const Paint& paint) const {
  std::vector<std::vector<Cell>> lines;
  if (std::any_of(columns_.begin(), columns_.end(), [](const Column& c) { return !c.title.empty(); })) {
    std::vector<Cell>& header = lines.emplace_back();
    for (const Column& column : columns_) header.emplace_back(column.title, Color::bold);
  }
  lines.insert(lines.end(), rows_.begin(), rows_.end());

  std::vector<std::size_t> widths(columns_.size(), 0);
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], display_width(line[i].text));
  }

  std::string out;
  for (const auto& line : lines) {
    // Empty cells at the end need no room in front of nothing.
    std::size_t end = line.size();
    while (end > 0 && line[end - 1].text.empty()) --end;
    for (std::size_t i = 0; i < end; ++i) {
      const std::string padding(widths[i] - display_width(line[i].text), ' ');
      const bool right = columns_[i].align == Align::right;
      if (i > 0) out += kGap;
      if (right) out += padding;
      out += paint(line[i].color, line[i].text);
      if (!right && i + 1 < end) out += padding;
    }
    out += '\n';
  }
  return out;
}

}  // namespace weir::cli
