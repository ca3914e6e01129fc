#include "stream/lane_worker.h"

#include <chrono>

#include "base/log.h"
#include "pg/error.h"
#include "stream/lane_take.h"

namespace weir::stream {

bool LaneWorker::take_and_run(pg::Session& session, pg::Transaction& transaction, WorkDoer& doer,
                              std::int64_t events, const std::function<void()>& taken,
                              const std::stop_token& stop) {
  counts_ = {};
  chunks_ = 0;
  const auto lane = take_lane(session, group_, troubled_.passed_over(std::chrono::steady_clock::now()));
  if (!lane) return false;
  taken();
  try {
    run(session, transaction, *lane, doer, events, stop);
  } catch (const pg::Error& error) {
    // A deadlock and its like say nothing of the lane, nor does a session that is lost.
    if (!stop.stop_requested() && session.is_open() && error.kind() != pg::ErrorKind::retryable) {
      size_.failed();
      if (troubled_.failed(lane->lane, std::chrono::steady_clock::now())) {
        log::warn("a lane cannot go on; it is tried again, and others are worked on meanwhile",
                  {{"group", group_.name}, {"lane", lane->lane}, {"error", error.what()}});
      }
    }
    throw;
  }
  troubled_.was_read(lane->lane);
  return true;
}

void LaneWorker::run(pg::Session& session, pg::Transaction& transaction, const Lane& lane, WorkDoer& doer,
                     std::int64_t events, const std::stop_token& stop) {
  const LaneAhead ahead = look_ahead(session, group_, lane, size_.next(), events);
  LaneRun progress(group_, lane);
  bool goes_on = true;
  for (const LaneUnit& unit : ahead.units) {
    const GroupWork work = lane_work(unit, lane, group_.lanes);
    doer.work_in_order(session, work, progress, stop);
    if (stop.stop_requested()) throw Error(ExitCode::interrupted, "stopped before a lane was done");
    chunks_ += unit.chunks.size();
    goes_on = progress.end_unit(session, sql_, unit, work);
    if (!goes_on) break;
  }
  if (goes_on && ahead.ends) progress.reached(lane.newest);
  progress.write(session);
  // Should that be lost it passes them once more.
  if (progress.only_passed()) transaction.set_local("synchronous_commit", "off");
  counts_ = {.done = progress.done(), .again = progress.again(), .dead = progress.dead()};
}

void LaneWorker::committed(Duration took) noexcept {
  if (chunks_ > 0) size_.took(chunks_, took);
}

}  // namespace weir::stream
