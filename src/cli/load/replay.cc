#include "cli/load/replay.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "load/read/csv_reader.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

/// What is kept of a record; of a longer one the rest is gone.
constexpr std::size_t kKept = std::size_t{64} << 10U;

class Replaying {
 public:
  explicit Replaying(const RawForm& form) : form_(form) {}

  void add(const load::RejectRow& reject) {
    if (reject.raw.empty()) return leave_out(reject, "its text was not kept");
    if (reject.raw.size() >= kKept) return leave_out(reject, "it is longer than what is kept of a record");
    if (reject.sqlstate == "23505") return leave_out(reject, "a later record has its key");
    if (reject.raw.front() == '{' && nlohmann::json::accept(reject.raw)) {
      keep(reject, one_line(reject.raw));
      return;
    }
    if (form_.json) return leave_out(reject, "it is no JSON object");
    if (form_.fields.empty()) {
      throw Error(
          ExitCode::usage,
          fmt::format("the rejected records do not say what their columns are called, such as line {}: {}",
                      reject.line, printable(elide(reject.raw, 60))),
          "Name them in their order: --fields NAME,NAME,..");
    }
    add_separated(reject);
  }

  Replay take() { return std::move(replay_); }

 private:
  void leave_out(const load::RejectRow& reject, std::string_view why) {
    if (replay_.left_out++ == 0) replay_.why_left_out = fmt::format("line {}: {}", reject.line, why);
  }

  void keep(const load::RejectRow& reject, const std::string& line) {
    replay_.records += line;
    replay_.origins.push_back({reject.line, reject.file});
    ++replay_.count;
  }

  static std::string one_line(const std::string& json) {
    // Lines divide the records, and JSON may have them between its words; only there.
    std::string line = json;
    for (char& c : line) c = c == '\n' || c == '\r' ? ' ' : c;
    return line + '\n';
  }

  void add_separated(const load::RejectRow& reject) {
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
      keep(reject, object.dump() + '\n');
      replay_.separated = true;
    } catch (const Error& error) {
      leave_out(reject, error.what());  // a quote that is never closed
    } catch (const nlohmann::json::exception&) {
      leave_out(reject, "it is no UTF-8");
    }
  }

  const RawForm& form_;
  Replay replay_;
};

class ReaderWithOrigins final : public load::RecordReader {
 public:
  ReaderWithOrigins(std::unique_ptr<load::RecordReader> reader, std::vector<Replay::Origin> origins)
      : reader_(std::move(reader)), origins_(std::move(origins)) {}

  [[nodiscard]] const std::vector<std::string>& columns() const override { return reader_->columns(); }
  [[nodiscard]] bool text_is_json() const override { return reader_->text_is_json(); }
  void keep_json(std::size_t column) override { reader_->keep_json(column); }
  [[nodiscard]] load::ReadProgress progress() const override { return reader_->progress(); }
  std::optional<load::Record> next() override {
    std::optional<load::Record> record = reader_->next();
    if (!record) return record;
    const Replay::Origin& origin = origins_.at(record->line - 1);
    record->line = static_cast<std::uint64_t>(origin.line);
    record->file = origin.file;
    return record;
  }

 private:
  std::unique_ptr<load::RecordReader> reader_;
  std::vector<Replay::Origin> origins_;
};

}  // namespace

std::unique_ptr<load::RecordReader> with_origins(std::unique_ptr<load::RecordReader> reader,
                                                 std::vector<Replay::Origin> origins) {
  return std::make_unique<ReaderWithOrigins>(std::move(reader), std::move(origins));
}

Replay make_replay(const std::vector<load::RejectRow>& rejects, const RawForm& form) {
  Replaying replaying(form);
  for (const load::RejectRow& reject : rejects) replaying.add(reject);
  return replaying.take();
}

}  // namespace weir::cli
