#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "load/losses.h"
#include "load/matching.h"
#include "load/read/record_reader.h"
#include "load/write/apply.h"
#include "load/write/care.h"
#include "load/write/plan.h"
#include "load/write/schema_change.h"
#include "load/write/spec.h"
#include "pg/connector.h"

namespace weir::load {

struct LoadOptions {
  std::string source;  ///< for people and the history: "rates.csv"
  std::string target;  ///< as SQL would read it
  LoadSpec spec{};     ///< `columns` is filled in by the load
  Contract contract = Contract::evolve;
  std::vector<SaidColumn> columns{};
  /// Whose state is advanced with the rows, and fenced: of two loads that began with the same one the later
  /// is refused. Empty: no state.
  std::string pipeline{};
  std::string stream{};
  std::optional<std::string> state{};  ///< JSON that is committed with the rows
  /// The state that the source was read from, whose seq has to be that still. Without it that of pipeline and
  /// stream when the load begins.
  std::optional<State> began_with{};
  /// Of the source, where another run of it would give the same records: its size and time. Then a load that
  /// was broken off goes on behind its last chunk. Empty: it begins anew.
  std::string fingerprint{};
  /// The source from its beginning once more. An append that goes straight into the table and cannot needs it
  /// to go through the stage instead.
  std::function<std::unique_ptr<RecordReader>()> reopen{};
  bool staged =
      false;  ///< append through the stage too: it can be resumed, and checked by SQL before it counts
  bool dry_run = false;  ///< plan, and read only the sample
  std::size_t sample_rows = 10'000;
  std::size_t chunk_bytes = std::size_t{64} << 20U;
  ApplyOptions apply{};
  /// What the history has of an error: without what nobody is to read.
  std::function<std::string(std::string)> shown_error{};
  /// Called right behind the COMMIT, before the table is cared for.
  std::function<void()> on_committed{};
};

/// Told now and then, from the thread that loads.
struct LoadProgress {
  enum class Phase : std::uint8_t { sample, stage, apply, care };
  Phase phase = Phase::sample;
  std::uint64_t rows = 0;
  std::uint64_t rejected = 0;
  ReadProgress read{};
  std::string note{};                  ///< what it waits for, a retry
  std::vector<std::string> notices{};  ///< of the source, all until now: see RecordReader::notices()
};

struct LoadReport {
  std::int64_t run = 0;  ///< 0 of a dry run
  std::string target;    ///< label
  bool created = false;  ///< the target did not exist
  std::string created_sql{};
  Drift drift{};
  std::vector<std::string> discarded{};  ///< columns of the source that are left out
  Plan plan{};
  std::uint64_t records = 0;
  std::uint64_t resumed_from = 0;  ///< records that an earlier run had staged
  std::uint64_t rejected = 0;
  std::vector<std::string> notices{};  ///< of the source: what was guessed of it; what was not kept of values
  Losses losses{};
  bool direct = false;  ///< straight into the target, without the stage
  std::optional<Applied> applied{};
  CareReport care{};
  Duration took{};
};

/// From a source into a table: sample, plan, stage, apply, care. The target is untouched until the one short
/// transaction of `apply`. Stopped or failed, it says how to go on, and leaves its run in weir.load_run.
class Load {
 public:
  using OnProgress = std::function<void(const LoadProgress&)>;

  /// `connector` has the user's search_path.
  Load(std::shared_ptr<const pg::Connector> connector, std::unique_ptr<RecordReader> reader,
       LoadOptions options, OnProgress on_progress = {});
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load();

  /// Once.
  LoadReport run(const std::stop_token& stop);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace weir::load
