#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "load/evolution.h"
#include "load/load.h"
#include "load/read/sampled_reader.h"

namespace weir::load {

/// A source straight into its table, in one transaction: the fastest way, for mode append where nothing may
/// be rejected and the server has nothing to cast. Nothing is kept of a load that is broken off.
///
/// The table cannot get another shape in the middle of it: ALTER TABLE would end the COPY, and in the same
/// transaction hold ACCESS EXCLUSIVE to the end of the source. So it gives up, and the load goes through the
/// stage, from the beginning of the source.
class DirectAppend {
 public:
  /// Thrown by run(), with nothing written: the source is wider than the table, or others hold what a record
  /// in the middle of it needs, and the source can be read again.
  struct NeedsStage {
    std::string what;  ///< the record and what does not fit; or who was in the way of it
  };

  using Connect = std::function<pg::Session()>;
  using OnProgress = std::function<void(std::uint64_t records, const ReadProgress&)>;

  /// Whether the table and the options are such.
  static bool suits(const LoadOptions& options, const Target& target, const Matching& matching);

  DirectAppend(Connect connect, const Target& target, const LoadOptions& options, OnProgress on_progress);
  /// The same outcome, and the same patience, as apply().
  Applied run(SampledReader& reader, Evolution& evolution, std::int64_t run,
              const std::optional<StateChange>& state, const std::stop_token& stop);

  /// The table, as it is now.
  [[nodiscard]] const Target& target() const noexcept { return target_; }

 private:
  std::optional<Applied> try_once(SampledReader& reader, Evolution& evolution, std::int64_t run,
                                  const std::optional<StateChange>& state, const std::stop_token& stop);
  Duration lock(pg::Session& session, pg::Transaction& transaction);
  bool is_same_table(pg::Session& session, const std::vector<std::string>& columns);
  [[noreturn]] void fail_stopped() const;
  std::int64_t copy(pg::Session& session, SampledReader& reader, Evolution& evolution,
                    const std::stop_token& stop);

  static void add(SampledReader& reader, const Record& record, Evolution& evolution, Router& router,
                  std::string& rows);

  Connect connect_;
  Target target_;
  Duration longest_wait_{};  // of attempts that were given up
  bool begun_ = false;       ///< records were read: there is no second attempt
  const LoadOptions& options_;
  OnProgress on_progress_;
};

}  // namespace weir::load
