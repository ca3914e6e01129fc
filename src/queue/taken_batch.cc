#include "queue/taken_batch.h"

#include <algorithm>

#include "work/bisection.h"
#include "work/slots.h"

namespace weir::queue {
namespace {

using work::Outcome;

/// Whether the part went well: then it stands, else it was undone.
bool try_part(pg::Session& session, work::Handler& handler, std::span<const work::Item> items,
              const std::stop_token& stop, std::vector<Outcome>& outcomes) {
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
      session.execute("RELEASE SAVEPOINT weir_part");
      return true;
    } catch (const pg::Error& error) {
      // The handler caught the error of a statement and called the job done; nothing of it can be kept.
      if (error.sqlstate() != "25P02") throw;
      outcomes.assign(items.size(), Outcome::failed("a statement of the handler failed, and it went on"));
    }
  }
  session.execute("ROLLBACK TO SAVEPOINT weir_part");
  return false;
}

}  // namespace

std::vector<Outcome> run_taken(pg::Session& session, work::Handler& handler, JobClaim& claim,
                               const std::stop_token& stop) {
  const auto items = claim.items();
  std::vector<Outcome> all(items.size(), Outcome::returned());
  for (work::Bisection bisection(items.size(), items.size()); const auto part = bisection.next();) {
    std::vector<Outcome> outcomes;
    const bool good = !stop.stop_requested() &&
                      try_part(session, handler, items.subspan(part->begin, part->size()), stop, outcomes);
    if (stop.stop_requested() && !good) break;  // the rest is handed back
    const bool final = good || part->size() == 1;
    if (final)
      std::move(outcomes.begin(), outcomes.end(), all.begin() + static_cast<std::ptrdiff_t>(part->begin));
    if (good) {
      bisection.succeeded();
    } else {
      bisection.failed();
    }
  }
  return all;
}

}  // namespace weir::queue
