#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "load/load.h"
#include "load/read/sampled_reader.h"
#include "load/router.h"
#include "load/write/stage.h"

namespace weir::load {

/// A source into its stage, in chunks of bounded size, each committed on its own with the place behind it. A
/// stop ends it behind a chunk.
class Extraction {
 public:
  struct Totals {
    std::uint64_t records = 0;
    std::uint64_t rejected = 0;
    std::uint64_t resumed_from = 0;
    std::int64_t chunks = 0;
  };
  using OnProgress = std::function<void(const Totals&, const ReadProgress&)>;

  Extraction(SampledReader& reader, pg::Session& session, const Stage& stage, const LoadOptions& options,
             OnProgress on_progress);

  /// To the end of the source. Throws (interrupted) when it was stopped, refused when more records are
  /// rejected than may be, with the first of them.
  Totals run(Router& router, const std::stop_token& stop);

 private:
  void skip_resumed(const std::stop_token& stop);
  void take(Router& router, const Record& record);
  void flush();
  void commit();
  void judge_rejects() const;
  void tell();

  SampledReader& reader_;
  pg::Session& session_;
  const Stage& stage_;
  const LoadOptions& options_;
  OnProgress on_progress_;
  Totals totals_;

  std::optional<StageChunk> chunk_;
  std::string rows_;
  std::size_t chunk_bytes_ = 0;
  std::vector<Reject> rejects_;
  std::size_t reject_bytes_ = 0;
  std::vector<std::string> first_rejects_;  ///< for the message
  SteadyTime chunk_began_{};
  SteadyTime told_{};
};

}  // namespace weir::load
