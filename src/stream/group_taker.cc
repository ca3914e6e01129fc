#include "stream/group_taker.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "schema/queries/streams.h"

namespace weir::stream {
namespace {

constexpr Duration kTooLong = std::chrono::seconds(5);
/// Times that a chunk fails alone before it is dealt with.
constexpr int kStuck = 5;

}  // namespace

Taken GroupTaker::take(pg::Session& session, bool thorough) {
  Taken taken;
  if (look_.letters_are_due(thorough)) taken = take_letters(session, group_, letters_);
  if (taken.work.empty() && !group_.is_ordered() && look_.may_take_chunks(session, group_))
    taken = take_chunks(session, group_, look_.above(), size_.next(), options_.events);
  look_.took(taken);
  return taken;
}

bool GroupTaker::take_and_run(pg::Session& session, pg::Transaction& transaction, bool thorough,
                              const std::function<void()>& taken, const std::stop_token& stop) {
  done_ = again_ = dead_ = 0;
  chunks_ = 0;
  of_lane_ = false;
  if (stuck_.times >= kStuck && std::chrono::steady_clock::now() - stuck_.since >= options_.stuck_for)
    return part_with_stuck(session);
  const Taken at_hand = take(session, thorough);
  if (at_hand.work.empty()) return group_.is_ordered() && run_lane(session, transaction, taken, stop);
  taken();
  chunks_ = at_hand.chunks;
  try {
    run(session, at_hand, stop);
    return true;
  } catch (const pg::Error& error) {
    // A deadlock and its like say nothing of the events.
    if (!stop.stop_requested() && error.kind() != pg::ErrorKind::retryable) note_stuck(at_hand, error.what());
    throw;
  }
}

bool GroupTaker::run_lane(pg::Session& session, pg::Transaction& transaction,
                          const std::function<void()>& taken, const std::stop_token& stop) {
  try {
    if (!lanes_.take_and_run(session, transaction, *doer_, options_.events, taken, stop)) return false;
  } catch (...) {
    counts_.look_again = true;
    throw;
  }
  done_ = lanes_.counts().done;
  again_ = lanes_.counts().again;
  dead_ = lanes_.counts().dead;
  of_lane_ = true;
  return true;
}

void GroupTaker::run(pg::Session& session, const Taken& at_hand, const std::stop_token& stop) {
  std::int64_t events = 0;
  Failures failures(group_);
  for (const GroupWork& work : at_hand.work) {
    events += static_cast<std::int64_t>(doer_->work(session, work, failures, stop));
    // Half of it is not kept: it would have to be remembered event by event.
    if (stop.stop_requested()) throw Error(ExitCode::interrupted, "stopped before a chunk was done");
    failures.write(session, sql_, work);
  }
  again_ = static_cast<std::int64_t>(failures.again());
  dead_ = static_cast<std::int64_t>(failures.dead());
  done_ = events - again_ - dead_;
}

void GroupTaker::note_stuck(const Taken& at_hand, const char* error) {
  size_.failed();
  const auto* letters = std::get_if<Letters>(&at_hand.work.front().events);
  if (letters != nullptr) letters_ = std::max<std::size_t>(1, letters->size() / 2);
  Stuck now{.chunk = letters == nullptr ? at_hand.first_chunk : 0,
            .letter = letters != nullptr ? letters->front() : Letter(),
            .times = 0,
            .since = std::chrono::steady_clock::now(),
            .error = error};
  const bool alone = letters != nullptr ? letters->size() == 1 : at_hand.chunks == 1;
  if (alone && now.chunk == stuck_.chunk && now.letter.id == stuck_.letter.id) {
    now.times = stuck_.times + 1;
    now.since = stuck_.since;
  }
  // A letter waits for its next attempt as after any other failure; a chunk has none.
  if (letters != nullptr && alone) now.times = kStuck;
  stuck_ = std::move(now);
  if (letters != nullptr && alone) stuck_.since = {};
}

/// Transactions fail on it as a whole: whose fault it is, nobody could tell.
bool GroupTaker::part_with_stuck(pg::Session& session) {
  const Stuck stuck = std::exchange(stuck_, {});
  if (stuck.chunk != 0) {
    log::warn("a chunk fails as a whole for minutes; its events are tried one by one",
              {{"group", group_.name}, {"chunk", stuck.chunk}, {"error", stuck.error}});
    session.run<sql::ScatterStuckChunk>(group_.id, stuck.chunk);
    return true;
  }
  Failures failures(group_);
  failures.add(stuck.letter.id, work::Outcome::failed(stuck.error), stuck.letter.failed + 1);
  failures.write(session, sql_, {Letters{stuck.letter}});
  again_ = static_cast<std::int64_t>(failures.again());
  dead_ = static_cast<std::int64_t>(failures.dead());
  return true;
}

void GroupTaker::committed(Duration took) {
  if (chunks_ > 0) size_.took(chunks_, took);
  if (of_lane_) lanes_.committed(took);
  letters_ = std::min(kMostLetters, letters_ * 2);
  stuck_ = {};
  counts_.done += done_;
  counts_.again += again_;
  counts_.dead += dead_;
  if (took > kTooLong) {
    log::warn("a transaction was open for long: it holds up vacuum for everybody",
              {{"group", group_.name}, {"seconds", to_seconds(took)}});
  }
}

}  // namespace weir::stream
