#include "stream/group_source.h"

#include <algorithm>

#include "base/log.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "schema/queries/work.h"
#include "stream/cut.h"
#include "stream/failures.h"
#include "work/process.h"

namespace weir::stream {
namespace {

constexpr Duration kKeepInterval = std::chrono::seconds(5);
constexpr std::size_t kMostLetters = 100;
/// Of events in memory at a time.
constexpr std::int64_t kMostEvents = 10'000;

}  // namespace

GroupSource::GroupSource(StreamDefinition stream, GroupDefinition group, Duration patience)
    : stream_(std::move(stream)),
      group_(std::move(group)),
      sql_(stream_),
      unreadable_(patience),
      letters_(kMostLetters) {}

std::shared_ptr<work::Claim> GroupSource::claim(pg::Session& session, const work::Life& life,
                                                std::size_t wanted, bool thorough) {
  for (;;) {
    part_with_unreadable(session);
    const Look look = claim_once(session, life, wanted, thorough);
    if (!look.found) return nullptr;
    if (!look.claim) continue;
    if (!look.claim->items().empty()) return look.claim;
    // What it had is gone, by retention or by hand: there is nothing to do.
    finish(session, life, *look.claim);
  }
}

GroupSource::Look GroupSource::claim_once(pg::Session& session, const work::Life& life, std::size_t wanted,
                                          bool thorough) {
  const std::int64_t number = ++claims_;
  const ClaimName name{life.id(), number};
  Taken taken;
  if (look_.letters_are_due(thorough)) taken = claim_letters(session, group_, name, letters_);
  if (taken.work.empty() && group_.is_ordered()) return claim_lane_once(session, life, number, wanted);
  if (taken.work.empty() && look_.may_take_chunks(session, group_)) {
    const auto events = std::min<std::int64_t>(static_cast<std::int64_t>(wanted), kMostEvents);
    taken = claim_chunks(session, group_, name, look_.above(), look_.chunks_of(events),
                         unreadable_.passed_over(std::chrono::steady_clock::now()));
  }
  look_.took(taken);
  if (taken.work.empty()) return {};
  auto claim = std::make_shared<GroupClaim>(number);
  for (GroupWork& work : taken.work) {
    try {
      read(session, work, *claim);
    } catch (const pg::Error& error) {
      if (!pass_over(session, life, work, error)) throw;
      return {.found = true, .claim = nullptr};
    }
  }
  return {.found = true, .claim = std::move(claim)};
}

void GroupSource::read(pg::Session& session, GroupWork work, GroupClaim& claim) {
  claim.add(std::make_unique<ChunkEvents>(session, stream_, sql_, work, group_.max_attempts), work);
  if (const auto* chunk = std::get_if<Chunk>(&work.events)) {
    unreadable_.was_read(chunk->number);
  } else {
    letters_ = std::min(kMostLetters, letters_ * 2);
  }
}

/// What has been claimed and cannot be read would come again and again, before all that is behind it.
bool GroupSource::pass_over(pg::Session& session, const work::Life& life, const GroupWork& work,
                            const pg::Error& error) {
  if (!Unreadable::is_own_fault(session, error)) return false;
  if (const auto* letters = std::get_if<Letters>(&work.events)) {
    letters_ = std::max<std::size_t>(1, letters->size() / 2);
    if (letters->size() == 1) {
      pg::Transaction transaction(session);
      if (session.run<sql::FinishStreamClaim>(life.id(), claims_, std::vector<std::int64_t>()).empty())
        return false;
      Failures failures(group_);
      failures.add(letters->front().id, work::Outcome::failed(error.what()), letters->front().failed + 1);
      failures.write(session, sql_, work);
      transaction.commit();
      counts_.again += static_cast<std::int64_t>(failures.again());
      counts_.dead += static_cast<std::int64_t>(failures.dead());
      return true;
    }
  } else {
    const std::int64_t chunk = std::get<Chunk>(work.events).number;
    if (!unreadable_.failed(chunk, std::chrono::steady_clock::now())) return false;
    log::warn("a chunk cannot be read; others are done meanwhile",
              {{"group", group_.name}, {"chunk", chunk}, {"error", error.what()}});
  }
  session.run<sql::ReturnStreamClaim>(life.id(), claims_);
  look_.forget();
  return true;
}

void GroupSource::part_with_unreadable(pg::Session& session) {
  if (group_.is_ordered()) return;  // who passes over an event is not in order
  while (const auto chunk = unreadable_.given_up(std::chrono::steady_clock::now())) {
    try {
      session.run<sql::ScatterStuckChunk>(group_.id, *chunk);
      unreadable_.forget(*chunk);
      log::warn("a chunk could not be read for minutes; its events are tried one by one",
                {{"group", group_.name}, {"chunk", *chunk}});
    } catch (const pg::Error& error) {
      if (!session.is_open() || error.kind() != pg::ErrorKind::server) throw;
      log::error("a chunk cannot be read, nor any single event of it; it stays before its group",
                 {{"group", group_.name}, {"chunk", *chunk}, {"error", error.what()}});
    }
  }
}

std::optional<Duration> GroupSource::next_look() const {
  return unreadable_.next_try(std::chrono::steady_clock::now());
}

void GroupSource::resolve(pg::Session& session, const work::Life& life) {
  session.run<sql::ReturnStreamClaim>(life.id(), claims_);
  look_.forget();
}

bool GroupSource::has_more(pg::Session& session) {
  // What is committed and not cut yet is before the group too.
  try {
    if (cut(session, stream_, sql_).events > 0) return true;
  } catch (const pg::Error& error) {
    if (!is_cut_conflict(error)) throw;
    return true;
  }
  const auto rows = session.run<sql::StreamGroupHasMore>(group_.id);
  return rows.one().more;
}

std::size_t GroupSource::settle(pg::Session& session, const work::Life& life,
                                std::vector<work::Settlement>& pending, bool /*all*/) {
  std::size_t refused = 0;
  for (auto settlement = pending.begin(); settlement != pending.end();
       settlement = pending.erase(settlement)) {
    auto& claim = static_cast<GroupClaim&>(*settlement->claim);
    // Kept by the claim until it is whole. Should this process die before, all of it is done again.
    for (std::size_t i = 0; i < settlement->outcomes.size(); ++i) {
      work::Outcome& outcome = claim.outcomes[settlement->first + i];
      if (outcome.is_open()) ++claim.settled;
      outcome = settlement->outcomes[i];
    }
    if (claim.settled == claim.items().size() && !end(session, life, claim)) refused += claim.items().size();
  }
  return refused;
}

/// What the server does not accept must not stand in the way of all that follows.
bool GroupSource::end(pg::Session& session, const work::Life& life, GroupClaim& claim) {
  try {
    return finish(session, life, claim);
  } catch (const pg::Error& error) {
    if (!session.is_open() || error.kind() != pg::ErrorKind::server) throw;
    log::warn("the end of a chunk was not accepted; it is done again",
              {{"group", group_.name}, {"error", error.what()}});
    session.run<sql::GiveUpStreamClaim>(life.id(), claim.number());
    return true;
  }
}

bool GroupSource::finish(pg::Session& session, const work::Life& life, GroupClaim& claim) {
  if (claim.lane) return finish_lane(session, life, claim);
  std::vector<std::int64_t> untouched;
  std::vector<const GroupClaim::Part*> touched;
  std::int64_t events = 0;
  for (const GroupClaim::Part& part : claim.parts()) {
    if (const auto number = claim.untouched_chunk(part)) {
      untouched.push_back(*number);
    } else {
      touched.push_back(&part);
      events += static_cast<std::int64_t>(part.events->items().size());
    }
  }
  pg::Transaction transaction(session);
  if (session.run<sql::FinishStreamClaim>(life.id(), claim.number(), untouched).empty()) return false;
  Failures failures(group_);
  for (const GroupClaim::Part* part : touched) {
    const auto items = part->events->items();
    for (std::size_t i = 0; i < items.size(); ++i)
      failures.add(part->events->number(i), claim.outcomes[part->begin + i], items[i].attempt);
    failures.write(session, sql_, part->work);
  }
  transaction.commit();
  const auto dead = static_cast<std::int64_t>(failures.dead());
  const auto again = static_cast<std::int64_t>(failures.again());
  counts_.done += events - dead - again;
  counts_.dead += dead;
  counts_.again += again;
  if (again > 0 || !untouched.empty()) keep_soon();
  // A lane that must be alone may have waited for these letters to end.
  if (group_.is_ordered()) claim_soon();
  return true;
}

void GroupSource::rescue(pg::Session& session) {
  for (;;) {
    const auto rows = session.run<sql::RescueStreamClaims>();
    if (rows.one().rescued == 0) return;
  }
}

Duration GroupSource::keep(pg::Session& session, const work::Life& /*life*/) {
  if (counts_.look_again.exchange(false)) session.run<sql::WakeTopic>(group_.topic(), 2);
  const auto due = session.run<sql::StreamLettersDue>(group_.id);
  const auto ms = due.one().due_ms;
  if (!ms) return kKeepInterval;
  if (*ms <= 0) {
    session.run<sql::WakeTopic>(group_.topic(), 2);
    return std::chrono::seconds(1);
  }
  return std::min<Duration>(kKeepInterval, std::chrono::milliseconds(*ms + 1));
}

std::unique_ptr<work::Taker> GroupSource::taker(std::unique_ptr<WorkDoer> doer, GroupTaker::Options options) {
  return std::make_unique<GroupTaker>(sql_, group_, std::move(doer), counts_, options);
}

}  // namespace weir::stream
