#include "queue/taken_batch.h"

#include <algorithm>

#include "work/bisection.h"
#include "work/slots.h"

namespace weir::queue {
namespace {

using work::Outcome;

/// Of large payloads at a time, save one that is larger by itself.
constexpr std::size_t kMostLoaded = std::size_t{16} << 20U;
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

/// What failed can be one job's fault, and the others may do without it.
bool blames_a_job(const pg::Session& session, const pg::Error& error) {
  return session.is_open() && error.kind() != pg::ErrorKind::retryable &&
         work::may_be_fault_of_an_item(error.sqlstate());
}

/// The parts of one transaction.
class Parts {
 public:
  Parts(pg::Session& session, work::Handler& handler, const JobClaim& claim, const std::stop_token& stop)
      : session_(session),
        handler_(handler),
        claim_(claim),
        stop_(stop),
        outcomes_(claim.items().size(), Outcome::returned()) {}

  /// Runs the items from `begin` to `end`, first all together.
  void run(std::size_t begin, std::size_t end) {
    const std::size_t size = end - begin;
    for (work::Bisection bisection(size, size); const auto part = bisection.next();) {
      const std::size_t first = begin + part->begin;
      std::vector<Outcome> outcomes;
      const bool good =
          !stop_.stop_requested() && try_part(claim_.items().subspan(first, part->size()), outcomes);
      if (stop_.stop_requested() && !good) break;  // the rest is handed back
      const bool final = good || part->size() == 1;
      if (final) set(first, std::move(outcomes));
      if (good) {
        bisection.succeeded();
      } else {
        bisection.failed();
      }
    }
  }
  void set(std::size_t first, std::vector<Outcome> outcomes) {
    std::move(outcomes.begin(), outcomes.end(), outcomes_.begin() + static_cast<std::ptrdiff_t>(first));
  }
  [[nodiscard]] std::vector<Outcome> outcomes() && { return std::move(outcomes_); }

 private:
  /// Whether the part went well: then it stands, else it was undone.
  bool try_part(std::span<const work::Item> items, std::vector<Outcome>& outcomes) {
    // A part before has made the constraints immediate.
    session_.execute_script(immediate_ ? "SAVEPOINT weir_part; SET CONSTRAINTS ALL DEFERRED"
                                       : "SAVEPOINT weir_part");
    work::Batch batch(items, stop_, &session_);
    try {
      handler_.run(batch);
      work::settle_open(batch, nullptr);
    } catch (const pg::Error& error) {
      if (!blames_a_job(session_, error)) throw;
      batch.settle_rest(Outcome::failed(error.what()));
    } catch (const std::exception& error) {
      batch.settle_rest(Outcome::failed(error.what()));
    } catch (...) {
      batch.settle_rest(Outcome::failed("the handler threw something that is no exception"));
    }
    outcomes = std::move(batch).outcomes();
    const bool all_done = std::all_of(outcomes.begin(), outcomes.end(),
                                      [](const Outcome& outcome) { return outcome.is_done(); });
    if (all_done || handler_.undoes_failures()) {
      try {
        if (claim_.settings().keeps_history && !check_results(session_, outcomes)) return undo(session_);
        // What would fail at COMMIT is to fail here, where it can be told whose it is.
        session_.execute_script("SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT weir_part");
        return immediate_ = true;
      } catch (const pg::Error& error) {
        if (error.sqlstate() == kFailedBefore) {
          // The handler caught the error of a statement and called the job done; nothing of it can be kept.
          outcomes.assign(items.size(), Outcome::failed("a statement of the handler failed, and it went on"));
        } else if (blames_a_job(session_, error)) {
          outcomes.assign(items.size(), Outcome::failed(error.what()));
        } else {
          throw;
        }
      }
    }
    return undo(session_);
  }

  pg::Session& session_;
  work::Handler& handler_;
  const JobClaim& claim_;
  const std::stop_token& stop_;
  std::vector<Outcome> outcomes_;
  bool immediate_ = false;
};

}  // namespace

std::vector<Outcome> run_taken(pg::Session& session, work::Handler& handler, JobClaim& claim,
                               const std::stop_token& stop) {
  const auto items = claim.items();
  Parts parts(session, handler, claim, stop);
  const auto wall = std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now());
  const auto late = [&](std::size_t i) { return items[i].deadline && *items[i].deadline <= wall; };
  for (std::size_t begin = 0; begin < items.size();) {
    if (late(begin)) {
      parts.set(begin++, {Outcome::discarded("its deadline passed before it was begun")});
      continue;
    }
    std::size_t end = begin;
    for (std::size_t loaded = 0; end < items.size() && !late(end) && loaded < kMostLoaded; ++end) {
      if (!claim.is_heavy(end)) continue;
      claim.load(end, session);
      loaded += items[end].payload.size();
    }
    parts.run(begin, end);
    for (; begin < end; ++begin) claim.unload(begin);
  }
  return std::move(parts).outcomes();
}

}  // namespace weir::queue
