#include "work/transaction_parts.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "pg/error.h"
#include "work/bisection.h"
#include "work/slots.h"

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
  // A part before has made the constraints immediate.
  session_.execute_script(immediate_ ? "SAVEPOINT weir_part; SET CONSTRAINTS ALL DEFERRED"
                                     : "SAVEPOINT weir_part");
  Batch batch(items, stop_, &session_);
  try {
    handler_.run(batch);
    settle_open(batch, nullptr);
  } catch (const pg::Error& error) {
    // Who has undone what failed has also found out whose it is.
    const Blame found =
        handler_.undoes_failures() ? blame_narrowly(error, items.size()) : blame(error, items.size());
    if (found == Blame::nobody) throw;
    again_ = found == Blame::again;
    batch.settle_rest(Outcome::failed(error.what()));
  } catch (const std::exception& error) {
    batch.settle_rest(Outcome::failed(error.what()));
  } catch (...) {
    batch.settle_rest(Outcome::failed("the handler threw something that is no exception"));
  }
  outcomes = std::move(batch).outcomes();
  const bool all_done =
      std::all_of(outcomes.begin(), outcomes.end(), [](const Outcome& outcome) { return outcome.is_done(); });
  if (all_done || (handler_.undoes_failures() && !options_.in_order)) {
    try {
      if (options_.stores_results && !check_results(session_, outcomes)) return undo(session_);
      // What would fail at COMMIT is to fail here, where it can be told whose it is.
      session_.execute_script("SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT weir_part");
      return immediate_ = true;
    } catch (const pg::Error& error) {
      if (error.sqlstate() == kFailedBefore) {
        // The handler caught the error of a statement and called the job done; nothing of it can be kept.
        outcomes.assign(items.size(), Outcome::failed("a statement of the handler failed, and it went on"));
      } else if (const Blame found = blame(error, items.size()); found != Blame::nobody) {
        again_ = found == Blame::again;
        outcomes.assign(items.size(), Outcome::failed(error.what()));
      } else {
        throw;
      }
    }
  }
  return undo(session_);
}

}  // namespace weir::work
