#include "queue/taken_batch.h"

#include <algorithm>

#include "work/bisection.h"
#include "work/slots.h"

namespace weir::queue {
namespace {

using work::Outcome;

constexpr std::string_view kFailedBefore = "25P02";  // a statement after one that failed

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

/// Whether the part went well: then it stands, else it was undone.
bool try_part(pg::Session& session, work::Handler& handler, std::span<const work::Item> items,
              const std::stop_token& stop, bool keeps_results, std::vector<Outcome>& outcomes) {
  session.execute("SAVEPOINT weir_part");
  work::Batch batch(items, stop, &session);
  try {
    handler.run(batch);
    work::settle_open(batch, nullptr);
  } catch (const pg::Error& error) {
    if (!session.is_open() || error.kind() == pg::ErrorKind::retryable ||
        !work::may_be_fault_of_an_item(error.sqlstate()))
      throw;
    batch.settle_rest(Outcome::failed(error.what()));
  } catch (const std::exception& error) {
    batch.settle_rest(Outcome::failed(error.what()));
  } catch (...) {
    batch.settle_rest(Outcome::failed("the handler threw something that is no exception"));
  }
  outcomes = std::move(batch).outcomes();
  if (handler.undoes_failures() || std::all_of(outcomes.begin(), outcomes.end(),
                                               [](const Outcome& outcome) { return outcome.is_done(); })) {
    try {
      if (keeps_results && !check_results(session, outcomes)) return undo(session);
      session.execute("RELEASE SAVEPOINT weir_part");
      return true;
    } catch (const pg::Error& error) {
      // The handler caught the error of a statement and called the job done; nothing of it can be kept.
      if (error.sqlstate() != kFailedBefore) throw;
      outcomes.assign(items.size(), Outcome::failed("a statement of the handler failed, and it went on"));
    }
  }
  return undo(session);
}

/// Runs the items from `begin` to `end`, first all together.
void run_range(pg::Session& session, work::Handler& handler, const JobClaim& claim,
               const std::stop_token& stop, std::size_t begin, std::size_t end, std::vector<Outcome>& all) {
  const std::size_t size = end - begin;
  for (work::Bisection bisection(size, size); const auto part = bisection.next();) {
    const std::size_t first = begin + part->begin;
    std::vector<Outcome> outcomes;
    const bool good =
        !stop.stop_requested() && try_part(session, handler, claim.items().subspan(first, part->size()), stop,
                                           claim.settings().keeps_history, outcomes);
    if (stop.stop_requested() && !good) break;  // the rest is handed back
    const bool final = good || part->size() == 1;
    if (final) std::move(outcomes.begin(), outcomes.end(), all.begin() + static_cast<std::ptrdiff_t>(first));
    if (good) {
      bisection.succeeded();
    } else {
      bisection.failed();
    }
  }
}

}  // namespace

std::vector<Outcome> run_taken(pg::Session& session, work::Handler& handler, JobClaim& claim,
                               const std::stop_token& stop) {
  const auto items = claim.items();
  std::vector<Outcome> all(items.size(), Outcome::returned());
  const auto wall = std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now());
  const auto late = [&](std::size_t i) { return items[i].deadline && *items[i].deadline <= wall; };
  for (std::size_t begin = 0; begin < items.size();) {
    if (late(begin)) {
      all[begin++] = Outcome::discarded("its deadline passed before it was begun");
      continue;
    }
    std::size_t end = begin + 1;
    while (end < items.size() && !late(end)) ++end;
    run_range(session, handler, claim, stop, begin, end, all);
    begin = end;
  }
  return all;
}

}  // namespace weir::queue
