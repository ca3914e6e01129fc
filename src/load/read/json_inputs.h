#pragma once

#include <memory>
#include <stop_token>
#include <vector>

#include "load/read/byte_source.h"
#include "load/read/json_reader.h"

namespace weir::load {

/// The records of several inputs of JSON, one input after the other, with the columns of all of them.
class JsonInputs final : public RecordReader {
 public:
  /// Opens the first one. There is at least one.
  JsonInputs(std::vector<Input> inputs, JsonOptions options, std::stop_token stop);

  [[nodiscard]] const std::vector<std::string>& columns() const override { return reader_.columns(); }
  [[nodiscard]] bool text_is_json() const override { return reader_.text_is_json(); }
  void keep_json(std::size_t column) override { reader_.keep_json(column); }
  std::optional<Record> next() override;
  [[nodiscard]] ReadProgress progress() const override;

 private:
  std::vector<Input> inputs_;
  std::stop_token stop_;
  std::size_t at_ = 0;
  std::uint64_t done_ = 0;  // bytes of the inputs that are behind us
  JsonReader reader_;
};

}  // namespace weir::load
