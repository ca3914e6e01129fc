#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "load/read/record_reader.h"

namespace weir::load {

/// Reads ahead: the first records are looked at before a load decides anything, and come again when it reads.
class SampledReader final : public RecordReader {
 public:
  explicit SampledReader(std::unique_ptr<RecordReader> reader) : reader_(std::move(reader)) {}
  SampledReader(const SampledReader&) = delete;
  SampledReader& operator=(const SampledReader&) = delete;
  ~SampledReader() override = default;

  /// Keeps copies of records until one of the limits is reached. Before the first next().
  void read_sample(std::size_t records, std::size_t bytes);
  [[nodiscard]] std::size_t sampled() const noexcept { return kept_.size(); }
  [[nodiscard]] const Record& sample(std::size_t at) const noexcept { return kept_[at].record; }
  /// The sample is all there is.
  [[nodiscard]] bool whole() const noexcept { return ended_; }

  /// Reads further ahead, behind the record that next() gave last; answers it anew, for what it was a view of
  /// may be gone. held(0) is that record, and those behind it come with next().
  const Record& look_ahead(const Record& record, std::size_t records, std::size_t bytes);
  [[nodiscard]] std::size_t held() const noexcept { return kept_.size(); }
  [[nodiscard]] const Record& held(std::size_t at) const noexcept { return kept_[at].record; }
  /// The same source from its beginning, without a sample.
  void restart(std::unique_ptr<RecordReader> reader);

  [[nodiscard]] const std::vector<std::string>& columns() const override { return reader_->columns(); }
  [[nodiscard]] std::optional<ColumnType> hint(std::size_t column) const override {
    return reader_->hint(column);
  }
  [[nodiscard]] bool text_is_json() const override { return reader_->text_is_json(); }
  void keep_json(std::size_t column) override { reader_->keep_json(column); }
  std::optional<Record> next() override;
  [[nodiscard]] ReadProgress progress() const override { return reader_->progress(); }
  [[nodiscard]] std::vector<std::string> notices() const override { return reader_->notices(); }

 private:
  struct Kept {
    std::string text;  // all that the views of `record` point to
    std::vector<Cell> cells;
    Record record;
  };
  void keep(const Record& record);
  void read_until(std::size_t records, std::size_t bytes);
  [[nodiscard]] static std::size_t size_of(const Kept& kept) noexcept;

  std::unique_ptr<RecordReader> reader_;
  std::deque<Kept> kept_;  // stays where it is: there are views into it
  bool ended_ = false;
  bool given_ = false;  // the first of kept_ was given out
};

}  // namespace weir::load
