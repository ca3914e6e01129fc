#include "queue/job_taker.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "pg/error.h"
#include "queue/taken_batch.h"
#include "schema/queries/jobs.h"

namespace weir::queue {
namespace {

constexpr Duration kTooLong = std::chrono::seconds(5);

}  // namespace

void JobTaker::connected(pg::Session& session, std::int64_t life) {
  const auto answer = session.run<sql::SessionOrigin>(life);
  const SessionOrigin now{.server_started_at = answer.one().server_started_at,
                          .life = life,
                          .life_is_held = answer.one().life_is_held};
  const SessionOrigin before = std::exchange(origin_, now);
  const auto loss = std::exchange(lost_, {});
  if (!loss || !ended_by_itself(loss->sqlstate, before, now)) return;
  source_.suspects().lost_with(loss->job);
  log::warn(
      "a session was lost in the midst of a single job, and the server ran on; if that comes again it "
      "uses up attempts of the job",
      {{"job", loss->job}});
}

bool JobTaker::take_and_run(pg::Session& session, pg::Transaction& transaction, bool thorough,
                            const std::function<void()>& taken, const std::stop_token& stop) {
  claim_ = source_.take(session, turns_, one_by_one_ > 0 ? 1 : size_.next(), thorough);
  if (!claim_) return false;
  taken();
  if (claim_->settings().relaxed) transaction.set_local("synchronous_commit", "off");
  work::Settlement all{.began = steady_now()};
  try {
    all.outcomes = run_unless_guilty(session, stop);
  } catch (const work::RanOver&) {
    one_by_one_ = std::max(one_by_one_, claim_->items().size());
    throw;
  } catch (const pg::Error& error) {
    note_loss(session, error);
    throw;
  }
  all.ended = steady_now();
  if (end_ != End::run) all.began = {};  // of no interest to those who ask how long jobs wait and run
  again_ = source_.finish_taken(session, *claim_, all);
  return true;
}

std::vector<work::Outcome> JobTaker::run_unless_guilty(pg::Session& session, const std::stop_token& stop) {
  const auto items = claim_->items();
  const auto standing = [&](const work::Item& item) { return source_.suspects().of(item.id, item.attempt); };
  const auto is_known = [&](const work::Item& item) { return standing(item) != Suspects::Standing::clear; };
  end_ = End::run;
  if (!source_.suspects().any() || std::none_of(items.begin(), items.end(), is_known))
    return run_claim(session, stop);
  if (items.size() > 1) {
    end_ = End::handed_back;
    return {items.size(), work::Outcome::returned()};
  }
  if (standing(items.front()) == Suspects::Standing::suspect) return run_claim(session, stop);
  end_ = End::charged;
  if (standing(items.front()) == Suspects::Standing::overdue)
    return {work::Outcome::failed(std::string(work::kRanOver) + ", and its session had to be ended")};
  return {work::Outcome::failed(
      "the session was lost whenever this job alone was worked on in it, and the server ran on: it may be "
      "its SQL that ends the server's process")};
}

std::vector<work::Outcome> JobTaker::run_claim(pg::Session& session, const std::stop_token& stop) {
  return run_taken(session, *handler_, *claim_, stop,
                   [this](std::span<const work::Item> items) { note_ran_over(items); });
}

void JobTaker::note_loss(const pg::Session& session, const pg::Error& error) {
  // Our own side ends a session, too: for a statement that cannot be answered, such as COPY, or is not.
  const bool lost = error.kind() == pg::ErrorKind::lost || error.kind() == pg::ErrorKind::misuse ||
                    error.kind() == pg::ErrorKind::deadline;
  if (session.is_open() || !lost) return;
  const auto items = claim_->items();
  one_by_one_ = std::max(one_by_one_, items.size());
  if (is_suspicious({.jobs = items.size(), .sqlstate = error.sqlstate()}))
    lost_ = Loss{.job = items.front().id, .sqlstate = std::string(error.sqlstate())};
}

void JobTaker::note_ran_over(std::span<const work::Item> items) {
  Suspects& suspects = source_.suspects();
  if (items.size() == 1) return suspects.ran_over(items.front().id, items.front().attempt);
  // Of several nobody knows which it was: taken one by one, it will be seen.
  for (const work::Item& item : items) suspects.ran_over_among_others(item.id);
}

void JobTaker::tell_suspects() {
  Suspects& suspects = source_.suspects();
  if (end_ == End::handed_back || !suspects.any()) return;
  for (const work::Item& item : claim_->items()) {
    if (end_ == End::charged) {
      suspects.charged(item.id, !again_);
    } else {
      suspects.cleared(item.id);
    }
  }
}

void JobTaker::committed(Duration took) {
  const std::size_t jobs = claim_->items().size();
  if (again_) source_.promote_soon();
  tell_suspects();
  if (end_ == End::handed_back) {
    one_by_one_ = std::max(one_by_one_, jobs);
  } else {
    one_by_one_ -= std::min(one_by_one_, jobs);
  }
  if (end_ == End::run) size_.took(jobs, took);
  if (took > kTooLong) {
    log::warn("a transaction was open for long: it holds up vacuum for everybody",
              {{"queue", claim_->settings().name}, {"seconds", to_seconds(took)}});
  }
  claim_.reset();
}

}  // namespace weir::queue
