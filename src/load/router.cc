#include "load/router.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace weir::load {

Router::Router(Shape shape) : shape_(std::move(shape)), encoder_(shape_.types) {
  std::ptrdiff_t next = 0;
  for (const Placed& column : shape_.columns) {
    const bool loaded = column.fate == Placed::Fate::loaded;
    straight_ = straight_ && loaded;
    stage_of_.push_back(loaded ? next++ : -1);
  }
  for (const std::string& name : shape_.names)
    is_key_.push_back(std::ranges::find(shape_.key, name) != shape_.key.end());
  row_.resize(shape_.names.size());
}

std::span<const Cell> Router::arranged(const Record& record) {
  if (straight_ && record.cells.size() <= row_.size()) return record.cells;
  std::ranges::fill(row_, Cell{.kind = Cell::Kind::absent});
  const std::size_t known = std::min(record.cells.size(), stage_of_.size());
  for (std::size_t i = 0; i < known; ++i) {
    if (stage_of_[i] >= 0) row_[static_cast<std::size_t>(stage_of_[i])] = record.cells[i];
  }
  return row_;
}

std::optional<Reject> Router::add(const Record& record, std::int64_t chunk, std::string& out) {
  misfit_.reset();
  if (!record.malformed.empty()) {
    std::string reason(record.malformed);
    if (record.malformed_column > 0)
      reason += fmt::format(" (byte {} of the record)", record.malformed_column);
    return reject(record, "", std::move(reason), chunk, out);
  }
  for (std::size_t i = 0; i < record.cells.size(); ++i) {
    const bool late = i >= shape_.columns.size();
    if (record.cells[i].is_null() || (!late && shape_.columns[i].fate != Placed::Fate::quarantined)) continue;
    if (late && shape_.contract == Contract::discard) continue;
    return reject(record, late ? fmt::format("number {}", i + 1) : shape_.columns[i].name,
                  late ? "a column that the sample of the source did not have"
                       : "a column that the table does not have",
                  chunk, out);
  }

  const std::array<std::int64_t, 2> numbers{static_cast<std::int64_t>(record.line), chunk};
  std::span<const Cell> cells = arranged(record);
  for (;;) {
    std::optional<Misfit> misfit = encoder_.add(
        cells, shape_.numbered ? std::span<const std::int64_t>(numbers) : std::span<const std::int64_t>(),
        out);
    if (!misfit) return std::nullopt;
    if (shape_.contract != Contract::discard || is_key_[misfit->column]) {
      misfit_ = misfit->column;
      return reject(record, shape_.names[misfit->column], std::move(misfit->reason), chunk, out);
    }
    if (cells.data() != row_.data()) {
      std::ranges::fill(row_, Cell{.kind = Cell::Kind::absent});
      std::ranges::copy(cells, row_.begin());
      cells = row_;
    }
    row_[misfit->column] = Cell{};
  }
}

Reject Router::reject(const Record& record, std::string column, std::string reason, std::int64_t chunk,
                      std::string& out) {
  return {.line = static_cast<std::int64_t>(record.line),
          .file = std::string(record.file),
          .column = std::move(column),
          .reason = std::move(reason),
          .raw = std::string(record.raw),
          .key_is_staged = add_key(record, chunk, out)};
}

bool Router::add_key(const Record& record, std::int64_t chunk, std::string& out) {
  if (!record.malformed.empty() || shape_.key.empty()) return false;
  const std::span<const Cell> cells = arranged(record);
  std::vector<Cell> key(shape_.names.size());
  for (std::size_t i = 0; i < key.size() && i < cells.size(); ++i) {
    if (is_key_[i]) key[i] = cells[i];
  }
  const std::array<std::int64_t, 2> numbers{static_cast<std::int64_t>(record.line),
                                            StageChunk::key_only(chunk)};
  return !encoder_.add(key, numbers, out);
}

}  // namespace weir::load
