#include "cli/load/replay.h"

#include <algorithm>
#include <deque>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "load/read/csv_reader.h"
#include "load/read/json_inputs.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

std::string one_line(const std::string& json) {
  // Lines divide the records, and JSON may have them between its words; only there.
  std::string line = json;
  for (char& c : line) c = c == '\n' || c == '\r' ? ' ' : c;
  return line + '\n';
}

/// Where a record stood in the source of the load that rejected it.
struct Origin {
  std::int64_t line = 0;
  std::string file;
};

/// Of records that are on their way: made when the line was read, taken when its record is given.
using Origins = std::shared_ptr<std::deque<Origin>>;

class LineSource final : public load::ByteSource {
 public:
  LineSource(NextReject next, const RawForm& form, Origins origins)
      : next_(std::move(next)), lines_(form), origins_(std::move(origins)) {}

  std::size_t read(std::span<char> room) override {
    while (at_ == line_.size()) {
      const auto reject = next_();
      if (!reject) return 0;
      auto line = lines_.line(*reject);
      if (!line) continue;
      line_ = std::move(*line);
      at_ = 0;
      origins_->push_back({reject->line, reject->file});
    }
    const std::size_t size = std::min(room.size(), line_.size() - at_);
    std::copy_n(line_.data() + at_, size, room.data());
    at_ += size;
    bytes_ += size;
    return size;
  }
  [[nodiscard]] load::ReadProgress progress() const override { return {.bytes = bytes_}; }

 private:
  NextReject next_;
  ReplayLines lines_;
  Origins origins_;
  std::string line_;
  std::size_t at_ = 0;
  std::uint64_t bytes_ = 0;
};

class ReaderWithOrigins final : public load::RecordReader {
 public:
  ReaderWithOrigins(std::unique_ptr<load::RecordReader> reader, Origins origins)
      : reader_(std::move(reader)), origins_(std::move(origins)) {}

  [[nodiscard]] const std::vector<std::string>& columns() const override { return reader_->columns(); }
  [[nodiscard]] bool text_is_json() const override { return reader_->text_is_json(); }
  void keep_json(std::size_t column) override { reader_->keep_json(column); }
  [[nodiscard]] load::ReadProgress progress() const override { return reader_->progress(); }
  std::optional<load::Record> next() override {
    std::optional<load::Record> record = reader_->next();
    if (!record) return record;
    origin_ = std::move(origins_->front());
    origins_->pop_front();
    record->line = static_cast<std::uint64_t>(origin_.line);
    record->file = origin_.file;
    return record;
  }

 private:
  std::unique_ptr<load::RecordReader> reader_;
  Origins origins_;
  Origin origin_;  // of the record that was given last
};

}  // namespace

std::optional<std::string> ReplayLines::line(const load::RejectRow& reject) {
  if (reject.raw.empty()) return leave_out(reject, "its text was not kept");
  if (reject.raw.size() >= load::kRejectKept)
    return leave_out(reject, "it is longer than what is kept of a record");
  if (reject.sqlstate == "23505") return leave_out(reject, "a later record has its key");
  if (reject.raw.front() == '{' && nlohmann::json::accept(reject.raw)) {
    ++replay_.count;
    return one_line(reject.raw);
  }
  if (form_.json) return leave_out(reject, "it is no JSON object");
  if (form_.fields.empty()) {
    throw Error(
        ExitCode::usage,
        fmt::format("the rejected records do not say what their columns are called, such as line {}: {}",
                    reject.line, printable(elide(reject.raw, 60))),
        "Name them in their order: --fields NAME,NAME,..");
  }
  return separated(reject);
}

std::nullopt_t ReplayLines::leave_out(const load::RejectRow& reject, std::string_view why) {
  if (replay_.left_out++ == 0) replay_.why_left_out = fmt::format("line {}: {}", reject.line, why);
  return std::nullopt;
}

std::optional<std::string> ReplayLines::separated(const load::RejectRow& reject) {
  std::string header;
  for (std::size_t i = 0; i < form_.fields.size(); ++i)
    header += fmt::format("{}f{}", i == 0 ? std::string() : std::string(1, form_.csv.delimiter), i);
  load::CsvChoice choice{.delimiter = form_.csv.delimiter,
                         .quote = form_.csv.quote,
                         .backslash = form_.csv.backslash,
                         .header = true,
                         .nulls = form_.csv.nulls,
                         .encoding = "utf-8",
                         .trim = form_.csv.trim};
  std::vector<load::Input> one;
  one.push_back(load::memory_input("reject", header + "\n" + reject.raw + "\n"));
  try {
    load::CsvReader reader(std::move(one), std::move(choice), {});
    const auto record = reader.next();
    if (!record) return leave_out(reject, "it is empty");
    if (!record->malformed.empty()) return leave_out(reject, record->malformed);
    ordered_json object = ordered_json::object();
    for (std::size_t i = 0; i < record->cells.size(); ++i) {
      const load::Cell& cell = record->cells[i];
      object[form_.fields[i]] = cell.is_null() ? ordered_json() : ordered_json(std::string(cell.text));
    }
    std::string line = object.dump() + '\n';
    replay_.separated = true;
    ++replay_.count;
    return line;
  } catch (const Error& error) {
    return leave_out(reject, error.what());  // a quote that is never closed
  } catch (const nlohmann::json::exception&) {
    return leave_out(reject, "it is no UTF-8");
  }
}

std::unique_ptr<load::RecordReader> replay_reader(NextReject next, const RawForm& form, const Replay& found,
                                                  const std::string& name, const std::stop_token& stop) {
  const auto origins = std::make_shared<std::deque<Origin>>();
  std::vector<load::Input> one(1);
  one.front().name = name;
  one.front().open = [next = std::move(next), form, origins](const std::stop_token&) {
    return std::make_unique<LineSource>(next, form, origins);
  };
  return std::make_unique<ReaderWithOrigins>(
      std::make_unique<load::JsonInputs>(
          std::move(one), load::JsonOptions{.shape = load::JsonShape::lines, .text_is_json = found.separated},
          stop),
      origins);
}

}  // namespace weir::cli
