#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>

#include "pg/transaction.h"
#include "stream/lane_run.h"
#include "stream/unreadable.h"
#include "stream/work_doer.h"
#include "work/take_size.h"

namespace weir::stream {

/// Works on a lane of a group in the transaction that has it: it takes one that nobody is at, has its next
/// events done in order, and moves it on. Of one slot.
class LaneWorker {
 public:
  LaneWorker(const StreamSql& sql, const GroupDefinition& group) : sql_(sql), group_(group) {}

  struct Counts {
    std::int64_t done = 0, again = 0, dead = 0;
  };
  /// False: there was no lane to work on. As work::Taker::take_and_run() otherwise.
  bool take_and_run(pg::Session& session, pg::Transaction& transaction, WorkDoer& doer, std::int64_t events,
                    const std::function<void()>& taken, const std::stop_token& stop);
  void committed(Duration took) noexcept;
  /// Of the last one.
  [[nodiscard]] const Counts& counts() const noexcept { return counts_; }

 private:
  void run(pg::Session& session, pg::Transaction& transaction, const Lane& lane, WorkDoer& doer,
           std::int64_t events, const std::stop_token& stop);

  const StreamSql& sql_;
  const GroupDefinition& group_;
  work::TakeSize size_{kMostLaneChunks};
  /// Lanes whose transactions fail as a whole: they are left alone for a while, and others come meanwhile.
  Unreadable troubled_{std::chrono::minutes(5)};
  std::size_t chunks_ = 0;  ///< of the transaction at hand
  Counts counts_;
};

}  // namespace weir::stream
