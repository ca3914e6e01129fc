#include "load/read/sampled_reader.h"

#include <utility>

namespace weir::load {

void SampledReader::read_sample(std::size_t records, std::size_t bytes) { read_until(records, bytes); }

const Record& SampledReader::look_ahead(const Record& record, std::size_t records, std::size_t bytes) {
  if (!std::exchange(given_, true)) keep(record);
  read_until(records, bytes);
  return kept_.front().record;
}

void SampledReader::restart(std::unique_ptr<RecordReader> reader) {
  kept_.clear();
  ended_ = given_ = false;
  reader_ = std::move(reader);
}

void SampledReader::read_until(std::size_t records, std::size_t bytes) {
  std::size_t taken = 0;
  for (const Kept& kept : kept_) taken += size_of(kept);
  while (!ended_ && kept_.size() < records && taken < bytes) {
    const auto record = reader_->next();
    if (!record) {
      ended_ = true;
      return;
    }
    keep(*record);
    taken += size_of(kept_.back());
  }
}

/// A record of ten thousand columns is large also where they are all empty.
std::size_t SampledReader::size_of(const Kept& kept) noexcept {
  return kept.text.size() + kept.cells.size() * sizeof(Cell);
}

std::optional<Record> SampledReader::next() {
  if (std::exchange(given_, false)) kept_.pop_front();
  if (!kept_.empty()) {
    given_ = true;
    return kept_.front().record;
  }
  if (ended_) return std::nullopt;
  return reader_->next();
}

void SampledReader::keep(const Record& record) {
  Kept& kept = kept_.emplace_back();
  std::size_t size = record.file.size() + record.raw.size() + record.malformed.size();
  for (const Cell& cell : record.cells) size += cell.text.size();
  kept.text.reserve(size);  // no view moves
  const auto copy = [&kept](std::string_view text) {
    const std::size_t begin = kept.text.size();
    kept.text.append(text);
    return std::string_view(kept.text).substr(begin);
  };
  kept.cells.reserve(record.cells.size());
  for (const Cell& cell : record.cells) kept.cells.push_back({cell.kind, copy(cell.text)});
  kept.record = record;
  kept.record.cells = kept.cells;
  kept.record.file = copy(record.file);
  kept.record.raw = copy(record.raw);
  kept.record.malformed = copy(record.malformed);
}

}  // namespace weir::load
