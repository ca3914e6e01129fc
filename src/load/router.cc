#include "load/router.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "load/value/inference.h"

namespace weir::load {

Router::Router(Shape shape)
    : shape_(std::move(shape)), encoder_(shape_.types, {.text_is_json = shape_.text_is_json}) {
  std::unordered_map<std::string_view, std::ptrdiff_t> places;
  for (const std::string& name : shape_.names)
    places.emplace(name, static_cast<std::ptrdiff_t>(places.size()));
  for (const Placed& column : shape_.columns) {
    const bool loaded = column.fate == Placed::Fate::loaded;
    const std::ptrdiff_t place = loaded ? places.at(column.name) : -1;
    straight_ = straight_ && place == static_cast<std::ptrdiff_t>(stage_of_.size());
    stage_of_.push_back(place);
  }
  for (const std::string& name : shape_.names)
    is_key_.push_back(std::ranges::find(shape_.key, name) != shape_.key.end());
  row_.resize(shape_.names.size());
  for (std::size_t i = 0; i < shape_.inferred.size(); ++i) {
    if (shape_.inferred[i]) inferred_.push_back(i);
  }
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
  late_ = false;
  left_out_.clear();
  nulled_.clear();
  if (!record.malformed.empty()) {
    std::string reason(record.malformed);
    if (record.malformed_column > 0)
      reason += fmt::format(" (byte {} of the record)", record.malformed_column);
    return reject(record, "", std::move(reason), chunk, out);
  }
  for (std::size_t i = 0; i < record.cells.size(); ++i) {
    if (record.cells[i].is_null()) continue;
    const Placed::Fate fate = i < shape_.columns.size() ? shape_.columns[i].fate : Placed::Fate::awaited;
    if (fate == Placed::Fate::discarded) left_out_.push_back(i);
    if (fate == Placed::Fate::loaded || fate == Placed::Fate::discarded) continue;
    late_ = fate == Placed::Fate::awaited;
    return reject(record, late_ ? fmt::format("number {}", i + 1) : shape_.columns[i].name,
                  "a column that the table does not have", chunk, out);
  }

  const std::array<std::int64_t, 2> numbers{static_cast<std::int64_t>(record.line), chunk};
  std::span<const Cell> cells = arranged(record);
  const std::size_t before = out.size();
  for (;;) {
    std::optional<Misfit> misfit = encoder_.add(
        cells, shape_.numbered ? std::span<const std::int64_t>(numbers) : std::span<const std::int64_t>(),
        out);
    if (!misfit && ((misfit = lossy(cells)) || (misfit = rounded(cells)))) out.resize(before);
    if (!misfit) {
      note_losses(record);
      return std::nullopt;
    }
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
    nulled_.push_back(misfit->column);
  }
}

/// With `freeze` a value that its column does not hold as it is, is none of it.
std::optional<Misfit> Router::rounded(std::span<const Cell> cells) const {
  if (shape_.contract != Contract::freeze || encoder_.rounded().empty()) return std::nullopt;
  const std::size_t column = encoder_.rounded().front();
  return Misfit{column,
                fmt::format("'{}' has more digits of a second than six, which is what PostgreSQL keeps",
                            printable(cells[column].text))};
}

void Router::note_losses(const Record& record) const {
  if (shape_.losses == nullptr) return;
  for (const std::size_t column : left_out_) shape_.losses->discarded(shape_.columns[column].name, record);
  for (const std::size_t column : nulled_) shape_.losses->discarded(shape_.names[column], record);
  for (const std::size_t column : encoder_.rounded()) shape_.losses->rounded(shape_.names[column], record);
}

std::optional<Misfit> Router::lossy(std::span<const Cell> cells) const {
  for (const std::size_t i : inferred_) {
    if (i < cells.size() && !cells[i].is_null() && !is_kept(cells[i], shape_.types[i].base))
      return Misfit{i, fmt::format("'{}' would be changed by {}", printable(cells[i].text),
                                   base_name(shape_.types[i].base))};
  }
  return std::nullopt;
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
