#include "work/transaction_parts.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "pg/error.h"
#include "work/bisection.h"
#include "work/slots.h"
#include "work/user_script.h"

namespace weir::work {
namespace {

/// False: the part does not stand.
bool undo(pg::Session& session) {
  session.execute("ROLLBACK TO SAVEPOINT weir_part");
  return false;
}

/// A result that cannot be stored would undo the whole transaction, again and again. False when there is one.
bool check_results(pg::Session& session, std::vector<Outcome>& outcomes) {
  std::vector<std::string_view> results;
  for (const Outcome& outcome : outcomes) {
    if (outcome.is_done() && !outcome.text().empty()) results.push_back(outcome.text());
  }
  if (results.empty()) return true;
  try {
    session.execute("SELECT count(r::jsonb) FROM unnest($1::text[]) r", results);
    return true;
  } catch (const pg::Error& error) {
    if (!session.is_open() || error.kind() != pg::ErrorKind::server || error.sqlstate() == kFailedBefore)
      throw;
    const Outcome bad = Outcome::discarded(std::string("its outcome cannot be stored: ") + error.what());
    std::fill(outcomes.begin(), outcomes.end(), bad);
    return false;
  }
}

/// The limit ends a session without the server's saying so; who was declared dead is hung up on.
bool is_hang_up(const pg::Session& session, const pg::Error& error) noexcept {
  return !session.is_open() && error.sqlstate().starts_with("57P");
}

/// Of a session that is gone: it says why to whoever asks for anything.
void throw_if_hung_up(pg::Session& session) {
  try {
    session.execute_script("");
  } catch (const pg::Error& error) {
    if (is_hang_up(session, error)) throw;
  }
}

constexpr Duration kServersLater = std::chrono::seconds(1);

/// What failed after the limit failed by it; its own words are of the statement that was cancelled, say.
void tell_of_limit(std::vector<Outcome>& outcomes) {
  for (Outcome& outcome : outcomes) {
    if (outcome.kind() != Outcome::Kind::failed || outcome.text().starts_with(kRanOver)) continue;
    outcome = Outcome::failed(std::string(kRanOver) + ": " + outcome.text());
  }
}

}  // namespace

bool blames_an_item(const pg::Session& session, const pg::Error& error) noexcept {
  return session.is_open() && error.kind() != pg::ErrorKind::retryable &&
         may_be_fault_of_an_item(error.sqlstate());
}

Blame TransactionParts::blame_narrowly(const pg::Error& error, std::size_t items) const noexcept {
  if (!blames_an_item(session_, error)) return Blame::nobody;
  return items == 1 ? Blame::item : Blame::divide;
}

Blame TransactionParts::blame(const pg::Error& error, std::size_t items) const noexcept {
  if (!options_.blames_widely) return blame_narrowly(error, items);
  return blame_for({.kind = error.kind(),
                    .sqlstate = error.sqlstate(),
                    .session_lives = session_.is_open(),
                    .stopping = stop_.stop_requested(),
                    .alone = items == 1,
                    .times = times_});
}

std::vector<Outcome> TransactionParts::run(std::span<const Item> items) {
  std::vector<Outcome> all(items.size(), Outcome::returned());
  for (Bisection bisection(items.size(), items.size()); const auto part = bisection.next();) {
    std::vector<Outcome> outcomes;
    const bool good =
        !stop_.stop_requested() && try_fairly(items.subspan(part->begin, part->size()), outcomes);
    if (stop_.stop_requested() && !good) break;  // the rest is handed back
    if (good || part->size() == 1)
      std::move(outcomes.begin(), outcomes.end(), all.begin() + static_cast<std::ptrdiff_t>(part->begin));
    if (good) {
      bisection.succeeded();
    } else if (bisection.failed() && options_.in_order) {
      break;
    }
  }
  return all;
}

bool TransactionParts::try_fairly(std::span<const Item> items, std::vector<Outcome>& outcomes) {
  times_ = 1;
  again_ = false;
  if (try_part(items, outcomes)) return true;
  if (!again_ || stop_.stop_requested()) return false;
  times_ = 2;
  return try_part(items, outcomes);
}

bool TransactionParts::try_part(std::span<const Item> items, std::vector<Outcome>& outcomes) {
  begin_part();
  // Who divides by himself keeps the limit for each of his tries.
  RunWatch watch(session_, stop_, handler_.undoes_failures() ? std::nullopt : options_.timeout, [&] {
    if (options_.given_up) options_.given_up(items);
  });
  Batch batch(items, watch.stop(), &session_, options_.timeout);
  const bool ran_over = run_handler(batch, watch);
  outcomes = std::move(batch).outcomes();
  if (ran_over) tell_of_limit(outcomes);
  const bool all_done =
      std::all_of(outcomes.begin(), outcomes.end(), [](const Outcome& outcome) { return outcome.is_done(); });
  const bool may_stand = all_done || (handler_.undoes_failures() && !options_.in_order);
  if (may_stand && keep_part(items.size(), ran_over, outcomes)) return true;
  return undo(session_);
}

void TransactionParts::begin_part() {
  std::string script = "SAVEPOINT weir_part";
  // A part before has made the constraints immediate.
  if (immediate_) script += "; SET CONSTRAINTS ALL DEFERRED";
  if (options_.timeout && !handler_.undoes_failures()) {
    // Of a handler that neither heeds its stop nor asks for anything there is nothing to cancel: the server
    // itself ends a transaction that has been left alone for so long.
    // Later than the watch would: until it has told of that, nobody else is to have the work.
    const Duration idle = *options_.timeout + RunWatch::grace(*options_.timeout) + kServersLater;
    script += "; SET LOCAL idle_in_transaction_session_timeout = " +
              std::to_string(std::chrono::ceil<std::chrono::milliseconds>(idle).count());
  }
  session_.execute_script(script);
}

bool TransactionParts::run_handler(Batch& batch, RunWatch& watch) {
  try {
    handler_.run(batch);
    watch.end();
  } catch (const pg::Error& error) {
    watch.end();
    if ((!watch.ran_over() || is_hang_up(session_, error)) && !fail_by(error, batch)) throw;
  } catch (const std::exception& error) {
    watch.end();
    if (!watch.ran_over()) batch.settle_rest(Outcome::failed(error.what()));
  } catch (...) {
    watch.end();
    if (!watch.ran_over())
      batch.settle_rest(Outcome::failed("the handler threw something that is no exception"));
  }
  if (watch.ran_over()) {
    if (!session_.still_alive()) {
      throw_if_hung_up(session_);
      watch.give_up();
      throw RanOver();
    }
    batch.settle_rest(Outcome::failed(std::string(kRanOver)));
  }
  settle_open(batch, nullptr);
  return watch.ran_over();
}

bool TransactionParts::fail_by(const pg::Error& error, Batch& batch) {
  // Who has undone what failed has also found out whose it is.
  const std::size_t items = batch.items().size();
  const Blame found = handler_.undoes_failures() ? blame_narrowly(error, items) : blame(error, items);
  if (found == Blame::nobody) return false;
  again_ = found == Blame::again;
  batch.settle_rest(Outcome::failed(error.what()));
  return true;
}

bool TransactionParts::keep_part(std::size_t items, bool ran_over, std::vector<Outcome>& outcomes) {
  SteadyTime began = steady_now();
  try {
    if (options_.stores_results && !check_results(session_, outcomes)) return false;
    // What would fail at COMMIT is to fail here, where it can be told whose it is.
    began = steady_now();
    session_.execute_script(bounded_script("SET CONSTRAINTS ALL IMMEDIATE", options_.timeout) +
                            "; RELEASE SAVEPOINT weir_part");
    return immediate_ = true;
  } catch (const pg::Error& error) {
    if (error.sqlstate() == kFailedBefore) {
      // The handler caught the error of a statement and called the job done; nothing of it can be kept.
      outcomes.assign(items, Outcome::failed(ran_over ? std::string(kRanOver)
                                                      : "a statement of the handler failed, and it went on"));
    } else if (const Blame found = blame(error, items); found != Blame::nobody) {
      again_ = found == Blame::again;
      outcomes.assign(items, Outcome::failed(error.what()));
      if (is_of_limit(error, steady_now() - began, options_.timeout)) tell_of_limit(outcomes);
    } else {
      throw;
    }
    return false;
  }
}

}  // namespace weir::work
