#include "queue/dead_letters.h"

#include <limits>

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
  for (std::int64_t above = std::numeric_limits<std::int64_t>::min();;) {
    const auto rows =
        session.run<sql::DropDeadJobs>(filter.jobs, filter.queue, filter.kind, before, above, kDropStep);
    const auto step = rows.one();
    dropped += step.dropped;
    if (step.dropped > 0) on_step(dropped);
    if (step.dropped < kDropStep) return dropped;
    above = step.last.value_or(above);
  }
}

}  // namespace weir::queue
