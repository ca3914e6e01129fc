#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "load/evolution.h"
#include "load/load.h"
#include "load/read/sampled_reader.h"
#include "load/router.h"
#include "load/write/stage.h"

namespace weir::load {

/// A source into its stage, in chunks of bounded size, each committed on its own with the place behind it. A
/// stop ends it behind a chunk. Where the source turns out to be wider than its sample, the stage is changed
/// between two chunks, and reading goes on with the record that did not fit.
class Extraction {
 public:
  struct Totals {
    std::uint64_t records = 0;
    std::uint64_t rejected = 0;
    std::uint64_t resumed_from = 0;
    std::int64_t chunks = 0;
  };
  using OnProgress = std::function<void(const Totals&, const ReadProgress&)>;

  Extraction(SampledReader& reader, pg::Session& session, Stage& stage, Evolution& evolution,
             const LoadOptions& options, OnProgress on_progress);

  /// To the end of the source. Throws (interrupted) when it was stopped, refused when more records are
  /// rejected than may be, with the first of them.
  Totals run(const std::stop_token& stop);

 private:
  void skip_resumed(const std::stop_token& stop);
  void take(const Record& record);
  std::optional<Reject> add(const Record& record);
  void begin_chunk(const Record& record);
  void put_down();
  void flush();
  void commit();
  void judge_rejects(bool at_end) const;
  void tell();

  SampledReader& reader_;
  pg::Session& session_;
  Stage& stage_;
  Evolution& evolution_;
  Router router_;
  const LoadOptions& options_;
  OnProgress on_progress_;
  Totals totals_;
  std::stop_token stop_;

  bool begun_ = false;               // a chunk, of which something may be in rows_ alone
  std::optional<StageChunk> chunk_;  // its transaction
  std::string rows_;
  std::size_t chunk_bytes_ = 0;
  std::uint64_t chunk_records_ = 0;
  std::string chunk_file_;  ///< that all its records are from
  std::vector<Reject> rejects_;
  std::size_t reject_bytes_ = 0;
  std::vector<std::string> first_rejects_;  ///< for the message
  SteadyTime piece_began_{};
  SteadyTime told_{};
};

}  // namespace weir::load
