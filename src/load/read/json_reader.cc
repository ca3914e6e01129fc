#include "load/read/json_reader.h"

#include <algorithm>

#include <fmt/format.h>

namespace weir::load {
namespace {

constexpr std::size_t kRawBytes = 64 * 1024;

}  // namespace

JsonReader::JsonReader(std::unique_ptr<ByteSource> source, JsonOptions options)
    : options_(std::move(options)),
      cells_({.flatten = options_.flatten, .max_columns = options_.max_columns}),
      frames_(std::make_unique<JsonFrames>(std::move(source), options_.shape, options_.max_record_bytes,
                                           options_.file)) {}

void JsonReader::open(std::unique_ptr<ByteSource> source, std::string file) {
  options_.file = std::move(file);
  frames_ = std::make_unique<JsonFrames>(std::move(source), options_.shape, options_.max_record_bytes,
                                         options_.file);
}

std::optional<Record> JsonReader::next() {
  const std::optional<JsonFrame> frame = frames_->next();
  if (!frame) return std::nullopt;
  Record record;
  if (!frame->broken.empty()) {
    record = malformed_record(*frame, {0, std::string(frame->broken)}, reason_);
  } else if (const std::optional<JsonBreak> fault = cells_.read(frame->text)) {
    record = malformed_record(*frame, *fault, reason_);
  } else {
    record = {.cells = cells_.cells(), .line = frame->line, .raw = raw_head(frame->text)};
  }
  record.file = options_.file;
  return record;
}

Record malformed_record(const JsonFrame& frame, const JsonBreak& fault, std::string& reason) {
  const std::string_view before = frame.text.substr(0, fault.at);
  const auto lines = static_cast<std::uint64_t>(std::count(before.begin(), before.end(), '\n'));
  std::uint64_t column = frame.column + fault.at;
  reason = fault.reason;
  if (lines > 0) {
    column = fault.at - before.rfind('\n');
    reason += fmt::format(" (in line {})", frame.line + lines);
  }
  return {.cells = {},
          .line = frame.line,
          .file = {},
          .raw = raw_head(frame.text),
          .malformed = reason,
          .malformed_column = static_cast<std::uint32_t>(std::min<std::uint64_t>(column, UINT32_MAX))};
}

std::string_view raw_head(std::string_view text) noexcept {
  return trim_json(text.substr(0, std::min(text.size(), kRawBytes)));
}

}  // namespace weir::load
