#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "load/read/csv_dialect.h"
#include "load/read/record_reader.h"
#include "load/write/run.h"

namespace weir::cli {

/// Of the rejects of a load what can be loaded again.
struct Replay {
  /// Where a record stood in the source of the load that rejected it.
  struct Origin {
    std::int64_t line = 0;
    std::string file{};
  };
  std::string records;            ///< JSON, one object a line
  std::vector<Origin> origins{};  ///< of each
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

/// Records that were JSON are what they are; lines of separated values become objects with the names of
/// `form`. Pure but for the CSV reader's memory. Throws usage where a record needs names and there are none.
Replay make_replay(const std::vector<load::RejectRow>& rejects, const RawForm& form);

/// The records of a replay, each with the file and the line where people find it. `reader` gives record n of
/// line n.
std::unique_ptr<load::RecordReader> with_origins(std::unique_ptr<load::RecordReader> reader,
                                                 std::vector<Replay::Origin> origins);

}  // namespace weir::cli
