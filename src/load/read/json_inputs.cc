#include "load/read/json_inputs.h"

#include <algorithm>

namespace weir::load {
namespace {

JsonOptions named(JsonOptions options, const std::string& file) {
  options.file = file;
  return options;
}

}  // namespace

JsonInputs::JsonInputs(std::vector<Input> inputs, JsonOptions options, std::stop_token stop)
    : inputs_(std::move(inputs)),
      stop_(std::move(stop)),
      reader_(inputs_.front().open(stop_), named(std::move(options), inputs_.front().name)) {}

std::optional<Record> JsonInputs::next() {
  for (;;) {
    if (auto record = reader_.next()) return record;
    if (at_ + 1 == inputs_.size()) return std::nullopt;
    done_ += reader_.progress().bytes;
    const Input& input = inputs_[++at_];
    reader_.open(input.open(stop_), input.name);
  }
}

ReadProgress JsonInputs::progress() const {
  const ReadProgress now = reader_.progress();
  ReadProgress all{done_ + now.bytes, 0};
  if (inputs_.size() == 1) {
    all.total = std::max(now.total, inputs_.front().bytes.value_or(0));
    return all;
  }
  for (const Input& input : inputs_) {
    if (!input.bytes) return {all.bytes, 0};
    all.total += *input.bytes;
  }
  return all;
}

}  // namespace weir::load
