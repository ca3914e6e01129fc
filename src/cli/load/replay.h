#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "load/read/csv_dialect.h"
#include "load/read/record_reader.h"
#include "load/write/run.h"

namespace weir::cli {

/// Of the rejects of a load what can be loaded again.
struct Replay {
  std::int64_t count = 0;
  std::int64_t left_out = 0;
  bool separated = false;  ///< some were lines of separated values: a text for a json column is JSON there
  std::string why_left_out{};  ///< of the first of them
};

/// How the source of a load wrote its records: what their raw text does not say of itself.
struct RawForm {
  bool json = false;                  ///< a record that is no JSON object was broken then and is now
  std::vector<std::string> fields{};  ///< names in their order; empty: not known
  load::CsvDialect csv{};
};

/// From rejects to lines of JSON, one at a time: records that were JSON are what they are, lines of separated
/// values become objects with the names of `form`. No I/O.
class ReplayLines {
 public:
  explicit ReplayLines(RawForm form) : form_(std::move(form)) {}

  /// Nothing where it cannot be loaded again, which is counted. Throws usage where a record needs names and
  /// there are none.
  std::optional<std::string> line(const load::RejectRow& reject);
  [[nodiscard]] const Replay& counted() const noexcept { return replay_; }

 private:
  std::nullopt_t leave_out(const load::RejectRow& reject, std::string_view why);
  std::optional<std::string> separated(const load::RejectRow& reject);

  RawForm form_;
  Replay replay_;
};

/// The next reject; nothing behind the last one.
using NextReject = std::function<std::optional<load::RejectRow>()>;

/// The records of a replay as they come, each with the file and the line where people find it. `found`: what
/// ReplayLines said of all of them before.
std::unique_ptr<load::RecordReader> replay_reader(NextReject next, const RawForm& form, const Replay& found,
                                                  const std::string& name, const std::stop_token& stop);

}  // namespace weir::cli
