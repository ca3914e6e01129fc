// A group that is kept in order, as a claim source: lanes are claimed, and not chunks.

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "stream/group_source.h"
#include "stream/lane_run.h"
#include "stream/lane_take.h"
#include "work/process.h"

namespace weir::stream {
namespace {

/// Of events in memory at a time.
constexpr std::int64_t kMostLaneEvents = 10'000;
/// Processes that died with one event, and nothing else, at hand: claim_stream_lane sees to that.
constexpr int kKills = 3;

}  // namespace

GroupSource::Look GroupSource::claim_lane_once(pg::Session& session, const work::Life& life,
                                               std::int64_t number, std::size_t wanted) {
  const auto now = std::chrono::steady_clock::now();
  const auto events = std::clamp<std::int64_t>(static_cast<std::int64_t>(wanted), 1, kMostLaneEvents);
  const auto lane = claim_lane(session, group_, {life.id(), number}, static_cast<std::size_t>(events),
                               unreadable_.passed_over(now));
  if (!lane) return {};
  try {
    const auto most = lane->most ? std::min<std::int64_t>(events, *lane->most) : events;
    auto claim = read_lane(session, number, *lane, static_cast<std::size_t>(most));
    unreadable_.was_read(lane->lane);
    if (lane->killed < kKills || claim->items().empty()) return {.found = true, .claim = std::move(claim)};
    std::fill(claim->outcomes.begin(), claim->outcomes.end(), work::Outcome::returned());
    claim->outcomes.front() =
        work::Outcome::discarded("processes that had nothing else at hand died with it");
    finish_lane(session, life, *claim);
  } catch (const pg::Error& error) {
    if (!Unreadable::is_own_fault(session, error) || !unreadable_.failed(lane->lane, now)) throw;
    log::warn("a lane cannot be read on; it is tried again, and others are worked on meanwhile",
              {{"group", group_.name}, {"lane", lane->lane}, {"error", error.what()}});
    session.run<sql::ReturnStreamClaim>(life.id(), number);
  }
  return {.found = true, .claim = nullptr};
}

std::shared_ptr<GroupClaim> GroupSource::read_lane(pg::Session& session, std::int64_t number,
                                                   const Lane& lane, std::size_t most) {
  const auto events = static_cast<std::int64_t>(most);
  LaneAhead ahead = look_ahead(session, group_, lane, look_.chunks_of(events * group_.lanes), events);
  look_.took({.work = {},
              .chunks = static_cast<std::size_t>(ahead.chunks),
              .first_chunk = 0,
              .events = ahead.events});
  auto claim = std::make_shared<GroupClaim>(number);
  claim->lane = LaneAtHand{.lane = lane, .units = {}, .ends = ahead.ends};
  for (LaneUnit& unit : ahead.units) {
    if (claim->items().size() >= most) {
      claim->lane->ends = false;
      break;
    }
    GroupWork work = lane_work(unit, lane, group_.lanes);
    // All of a unit may be this lane's. One more than it is to have tells that there is more.
    const std::size_t room = most - claim->items().size() + 1;
    auto read = std::make_unique<ChunkEvents>(session, stream_, sql_, work, group_.max_attempts, room);
    claim->add(std::move(read), std::move(work));
    claim->lane->units.push_back(std::move(unit));
  }
  if (claim->items().size() > most) claim->cut_off(most);
  return claim;
}

bool GroupSource::finish_lane(pg::Session& session, const work::Life& life, GroupClaim& claim) {
  const LaneAtHand& at_hand = *claim.lane;
  const std::size_t items = claim.items().size();
  pg::Transaction transaction(session);
  if (session.run<sql::FinishStreamClaim>(life.id(), claim.number(), std::vector<std::int64_t>()).empty())
    return false;
  LaneRun progress(group_, at_hand.lane);
  bool goes_on = true;
  for (std::size_t p = 0; p < claim.parts().size() && goes_on; ++p) {
    const GroupClaim::Part& part = claim.parts()[p];
    const std::size_t end = part.begin + part.events->items().size();
    for (std::size_t i = part.begin; i < std::min(end, items); ++i) {
      if (!progress.settle(part.events->place(i - part.begin), claim.outcomes[i])) break;
    }
    goes_on = progress.end_unit(session, sql_, at_hand.units[p], part.work, end > items);
  }
  if (goes_on && at_hand.ends) progress.reached(at_hand.lane.newest);
  progress.write(session);
  transaction.commit();
  counts_.done += progress.done();
  counts_.dead += progress.dead();
  counts_.again += progress.again();
  if (progress.again() > 0) keep_soon();
  // What has come for it meanwhile was left alone, for it was ours.
  claim_soon();
  return true;
}

}  // namespace weir::stream
