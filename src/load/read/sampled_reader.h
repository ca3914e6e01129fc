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

  [[nodiscard]] const std::vector<std::string>& columns() const override { return reader_->columns(); }
  std::optional<Record> next() override;
  [[nodiscard]] ReadProgress progress() const override { return reader_->progress(); }

 private:
  struct Kept {
    std::string text;  // all that the views of `record` point to
    std::vector<Cell> cells;
    Record record;
  };
  void keep(const Record& record);

  std::unique_ptr<RecordReader> reader_;
  std::deque<Kept> kept_;  // stays where it is: there are views into it
  bool ended_ = false;
  bool given_ = false;  // the first of kept_ was given out
};

}  // namespace weir::load
