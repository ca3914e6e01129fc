#include "queue/dead_letters.h"

#include "schema/queries/admin.h"

namespace weir::queue {
namespace {

constexpr std::int64_t kDropStep = 1000;

/// By the server's clock, as the letters have it.
WallTime newest(pg::Session& session, const DeadFilter& filter) {
  const auto now = session.run<sql::ServerNow>();
  return now.one().at - std::chrono::duration_cast<WallTime::duration>(filter.older_than);
}

}  // namespace

std::int64_t count_dead(pg::Session& session, const DeadFilter& filter) {
  const auto rows =
      session.run<sql::CountDeadJobs>(filter.jobs, filter.queue, filter.kind, newest(session, filter));
  return rows.one().letters;
}

std::int64_t drop_dead(pg::Session& session, const DeadFilter& filter,
                       const std::function<void(std::int64_t)>& on_step) {
  const WallTime before = newest(session, filter);
  std::int64_t dropped = 0;
  for (;;) {
    const auto rows =
        session.run<sql::DropDeadJobs>(filter.jobs, filter.queue, filter.kind, before, kDropStep);
    const std::int64_t step = rows.one().dropped;
    if (step == 0) return dropped;
    dropped += step;
    on_step(dropped);
  }
}

}  // namespace weir::queue
