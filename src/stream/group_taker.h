#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "stream/failures.h"
#include "stream/group_take.h"
#include "stream/lane_worker.h"
#include "stream/stream_definition.h"
#include "stream/work_doer.h"
#include "work/take_size.h"
#include "work/transaction_source.h"

namespace weir::stream {

struct GroupCounts {
  std::atomic<std::int64_t> done{0};
  std::atomic<std::int64_t> again{0};  ///< failed, and will be tried again
  std::atomic<std::int64_t> dead{0};   ///< failed for good
  /// A lane is left alone for a moment, for what went wrong as a whole: somebody has to look again.
  std::atomic<bool> look_again{false};
};

/// Takes chunks of a group, or a lane of one that is kept in order, and events that failed before and are
/// due: taken, done and struck off in one transaction, so that effects in the same database happen exactly
/// once.
class GroupTaker final : public work::Taker {
 public:
  struct Options {
    std::int64_t events = 10'000;  ///< that are read together, at most; a chunk is not divided
    /// A chunk that fails as a whole for so long is divided.
    Duration stuck_for = std::chrono::minutes(5);
  };
  GroupTaker(const StreamSql& sql, const GroupDefinition& group, std::unique_ptr<WorkDoer> doer,
             GroupCounts& counts, Options options)
      : sql_(sql),
        group_(group),
        doer_(std::move(doer)),
        counts_(counts),
        options_(options),
        lanes_(sql, group) {}

  bool take_and_run(pg::Session& session, pg::Transaction& transaction, bool thorough,
                    const std::function<void()>& taken, const std::stop_token& stop) override;
  void committed(Duration took) override;

 private:
  /// What failed last, though not by the fault of one of its events.
  struct Stuck {
    std::int64_t chunk = 0;
    Letter letter{};
    int times = 0;
    SteadyTime since{};
    std::string error{};
  };

  Taken take(pg::Session& session, bool thorough);
  void run(pg::Session& session, const Taken& at_hand, const std::stop_token& stop);
  bool run_lane(pg::Session& session, pg::Transaction& transaction, const std::function<void()>& taken,
                const std::stop_token& stop);
  void note_stuck(const Taken& at_hand, const char* error);
  bool part_with_stuck(pg::Session& session);

  const StreamSql& sql_;
  const GroupDefinition& group_;
  const std::unique_ptr<WorkDoer> doer_;
  GroupCounts& counts_;
  const Options options_;
  work::TakeSize size_{kMostChunks};
  GroupLook look_;
  LaneWorker lanes_;
  Stuck stuck_;
  // Of the transaction at hand.
  std::size_t chunks_ = 0;
  std::int64_t done_ = 0, again_ = 0, dead_ = 0;
  bool of_lane_ = false;

  static constexpr std::size_t kMostChunks = 64;
  static constexpr std::size_t kMostLetters = 100;
  std::size_t letters_ = kMostLetters;
};

}  // namespace weir::stream
