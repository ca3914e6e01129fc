#pragma once

#include <cstddef>
#include <stop_token>

#include "pg/session.h"
#include "stream/failures.h"
#include "stream/group_work.h"

namespace weir::stream {

class LaneRun;

/// Does what a group has before it; of one slot.
class WorkDoer {
 public:
  WorkDoer() = default;
  WorkDoer(const WorkDoer&) = delete;
  WorkDoer& operator=(const WorkDoer&) = delete;
  virtual ~WorkDoer() = default;

  /// In the transaction of `session`. Answers how many events there were; those that failed are added to
  /// `failures`, and what they wrote is undone.
  virtual std::size_t work(pg::Session& session, const GroupWork& work, Failures& failures,
                           const std::stop_token& stop) = 0;
  /// What is before a lane, one after the other: tells `run` of each, until the lane stays at one. What that
  /// one and those behind it wrote is undone.
  virtual void work_in_order(pg::Session& session, const GroupWork& work, LaneRun& run,
                             const std::stop_token& stop) = 0;
};

}  // namespace weir::stream
