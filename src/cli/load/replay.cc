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
      replay_.records += one_line(reject.raw);
      ++replay_.count;
      return;
    }
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
      replay_.records += object.dump() + '\n';
      ++replay_.count;
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

}  // namespace

Replay make_replay(const std::vector<load::RejectRow>& rejects, const RawForm& form) {
  Replaying replaying(form);
  for (const load::RejectRow& reject : rejects) replaying.add(reject);
  return replaying.take();
}

}  // namespace weir::cli
