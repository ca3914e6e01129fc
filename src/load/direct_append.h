#pragma once

#include <functional>
#include <stop_token>

#include "load/load.h"
#include "load/read/sampled_reader.h"
#include "load/router.h"

namespace weir::load {

/// A source straight into its table, in one transaction: the fastest way, for mode append where nothing may
/// be rejected and the server has nothing to cast. Nothing is kept of a load that is broken off.
class DirectAppend {
 public:
  using Connect = std::function<pg::Session()>;
  using OnProgress = std::function<void(std::uint64_t records, const ReadProgress&)>;

  /// Whether the table and the options are such.
  static bool suits(const LoadOptions& options, const Target& target, const Matching& matching);

  DirectAppend(Connect connect, const Target& target, const LoadOptions& options, OnProgress on_progress);
  /// The same outcome as apply().
  Applied run(SampledReader& reader, Router& router, std::int64_t run,
              const std::optional<StateChange>& state, const std::stop_token& stop);

 private:
  std::int64_t copy(pg::Session& session, SampledReader& reader, Router& router, const std::stop_token& stop);

  Connect connect_;
  const Target& target_;
  const LoadOptions& options_;
  OnProgress on_progress_;
};

}  // namespace weir::load
