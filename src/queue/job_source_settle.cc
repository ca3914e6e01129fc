#include <algorithm>
#include <cstdlib>
#include <deque>

#include "base/text.h"
#include "queue/job_source.h"
#include "queue/taken_columns.h"
#include "schema/queries/jobs.h"
#include "work/process.h"

// How outcomes are written. models/lease.pml: `settle_lock`, `settle_commit`; what arrives late:
// `LateSettle`.

namespace weir::queue {
namespace {

/// Of what was begun at all: neither handed back nor past its deadline before.
QueueCounts::Times times_of(const JobClaim& claim, const work::Settlement& part) {
  using Kind = work::Outcome::Kind;
  QueueCounts::Times times;
  if (part.began == SteadyTime()) return times;
  std::int64_t begun = 0;
  for (std::size_t i = 0; i < part.outcomes.size(); ++i) {
    const Kind kind = part.outcomes[i].kind();
    const bool has_deadline = claim.items()[part.first + i].deadline.has_value();
    if (kind == Kind::returned || (kind == Kind::discarded && has_deadline)) continue;
    if (const auto waited = claim.waited(part.first + i, part.began)) times.waits.add(*waited);
    ++begun;
  }
  if (begun > 0) times.runs.add(part.ended - part.began, begun);
  return times;
}

}  // namespace

std::size_t JobSource::settle(pg::Session& session, const work::Life& life,
                              std::vector<work::Settlement>& pending, bool all) {
  std::map<JobClaim*, std::vector<const work::Settlement*>> by_claim;
  for (const work::Settlement& settlement : pending) {
    by_claim[static_cast<JobClaim*>(settlement.claim.get())].push_back(&settlement);
  }
  std::set<const JobClaim*> whole;
  std::set<const JobClaim*> parted;
  std::size_t refused = 0;
  bool durable = false;
  for (const auto& [claim, parts] : by_claim) {
    std::size_t items = 0;
    bool plain = claim->is_plain() && claim->settled == 0;
    for (const work::Settlement* part : parts) {
      items += part->outcomes.size();
      plain = plain && std::all_of(part->outcomes.begin(), part->outcomes.end(),
                                   [](const work::Outcome& outcome) { return outcome.is_done(); });
    }
    const bool complete = claim->settled + items == claim->items().size();
    if (complete && plain) {
      whole.insert(claim);
    } else if (complete || all) {
      parted.insert(claim);
    } else {
      continue;
    }
    durable = durable || !claim->settings().relaxed;
  }
  if (whole.empty() && parted.empty()) return 0;
  be_durable(session, durable);
  if (!whole.empty()) refused += finish_whole(session, life, pending, whole);
  for (const auto& [claim, parts] : by_claim) {
    if (!parted.contains(claim)) continue;
    std::vector<const work::Settlement*> mine;
    for (const work::Settlement& settlement : pending) {
      if (settlement.claim.get() == claim) mine.push_back(&settlement);
    }
    refused += settle_parts(session, life.id(), *claim, mine).refused;
    std::erase_if(pending, [&](const work::Settlement& settlement) {
      if (settlement.claim.get() != claim) return false;
      claim->settled += settlement.outcomes.size();
      return true;
    });
  }
  return refused;
}

std::size_t JobSource::finish_whole(pg::Session& session, const work::Life& life,
                                    std::vector<work::Settlement>& pending,
                                    const std::set<const JobClaim*>& whole) {
  std::vector<std::int64_t> ids;
  ids.reserve(whole.size());
  for (const JobClaim* claim : whole) ids.push_back(claim->number());
  std::set<std::int64_t> accepted;
  for (const auto& row : session.run<sql::FinishClaims>(life.id(), ids)) accepted.insert(row.number);
  std::size_t refused = 0;
  std::erase_if(pending, [&](const work::Settlement& settlement) {
    const auto* claim = static_cast<const JobClaim*>(settlement.claim.get());
    if (!whole.contains(claim)) return false;
    const auto items = static_cast<std::int64_t>(settlement.outcomes.size());
    const bool taken = accepted.contains(claim->number());
    if (!taken) refused += settlement.outcomes.size();
    counts_.add(claim->settings().id, {.done = taken ? items : 0, .running = -items},
                taken ? times_of(*claim, settlement) : QueueCounts::Times());
    return true;
  });
  return refused;
}

JobSource::Settled JobSource::settle_parts(pg::Session& session, std::int64_t worker, JobClaim& claim,
                                           const std::vector<const work::Settlement*>& parts) {
  std::vector<std::int64_t> seqs;
  std::vector<std::string_view> actions;
  std::vector<std::int64_t> delays;
  std::vector<std::optional<std::string_view>> texts;
  std::deque<std::string> reasons;
  QueueCounts::Counts counts;
  QueueCounts::Times times;
  bool again = false;
  const WallTime now = std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now());
  for (const work::Settlement* part : parts) {
    times.add(times_of(claim, *part));
    for (std::size_t i = 0; i < part->outcomes.size(); ++i) {
      const work::Outcome& outcome = part->outcomes[i];
      const work::Item& item = claim.items()[part->first + i];
      const bool overdue = item.deadline && *item.deadline <= now;
      const work::Decision decision =
          work::decide(outcome, item.attempt, item.max_attempts, is_cancelled(item.id), overdue,
                       claim.settings().backoff, random_unit());
      seqs.push_back(claim.jobs()[part->first + i].seq);
      actions.push_back(work::to_string(decision.action));
      again = again || work::is_tried_again(decision.action);
      delays.push_back(decision.delay / std::chrono::milliseconds(1));
      texts.push_back(outcome.text().empty()
                          ? std::nullopt
                          : std::optional<std::string_view>(
                                outcome.is_done() ? outcome.text()
                                                  : reasons.emplace_back(storable_text(outcome.text()))));
      --counts.running;
      counts.done += decision.action == work::Action::done ? 1 : 0;
      counts.failed +=
          decision.action == work::Action::later || decision.action == work::Action::dead ? 1 : 0;
      counts.dead += decision.action == work::Action::dead ? 1 : 0;
    }
  }
  const std::size_t accepted = write(session, worker, claim.number(), seqs, actions, delays, texts);
  const bool soon =
      std::any_of(actions.begin(), actions.end(),
                  [](std::string_view action) { return action.starts_with("later"); }) &&
      *std::min_element(delays.begin(), delays.end()) < kKeepInterval / std::chrono::milliseconds(1);
  // In a transaction nobody sees it yet.
  if (soon && !session.in_transaction()) keep_soon();
  forget_cancels(claim, parts);
  counts_.add(claim.settings().id, counts, times);
  return {.refused = seqs.size() - accepted, .again = again};
}

std::size_t JobSource::write(pg::Session& session, std::int64_t worker, std::int64_t claim,
                             const std::vector<std::int64_t>& seqs,
                             const std::vector<std::string_view>& actions,
                             const std::vector<std::int64_t>& delays,
                             const std::vector<std::optional<std::string_view>>& texts) {
  const auto settle = [&](const auto&... columns) {
    return static_cast<std::size_t>(session.run<sql::SettleJobs>(worker, claim, columns...).size());
  };
  try {
    return settle(seqs, actions, delays, texts);
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server || session.in_transaction()) throw;
  }
  // One of them cannot be written, such as a result that is no JSON: it must not keep the others back.
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < seqs.size(); ++i) {
    using Texts = std::vector<std::optional<std::string_view>>;
    try {
      accepted +=
          settle(std::vector{seqs[i]}, std::vector{actions[i]}, std::vector{delays[i]}, Texts{texts[i]});
    } catch (const pg::Error& error) {
      if (error.kind() != pg::ErrorKind::server) throw;
      const std::string reason = std::string("its outcome cannot be stored: ") + error.what();
      accepted += settle(std::vector{seqs[i]}, std::vector{work::to_string(work::Action::dead)},
                         std::vector<std::int64_t>{0}, Texts{reason});
    }
  }
  return accepted;
}

bool JobSource::finish_taken(pg::Session& session, JobClaim& claim, const work::Settlement& all) {
  const auto items = claim.items();
  const auto done = [](const work::Outcome& outcome) { return outcome.is_done(); };
  if (claim.is_plain() && std::all_of(all.outcomes.begin(), all.outcomes.end(), done)) {
    counts_.add(claim.settings().id, {.done = static_cast<std::int64_t>(items.size())}, times_of(claim, all));
    return false;
  }
  // A claim of nobody: it is gone before anybody else could see it. No process has a number below zero.
  const std::int64_t nobody = -std::abs(std::int64_t{session.backend_pid()});  // a pooler says any number
  TakenColumns columns(claim);
  session.run<sql::AdoptTakenJobs>(nobody, claim.number(), claim.settings().id, kLane, columns.seqs,
                                   columns.ids, columns.priorities, columns.attempts, columns.max_attempts,
                                   columns.created_at, columns.deadlines, columns.kinds, columns.payloads,
                                   columns.unique_keys, columns.limit_keys, columns.errors);
  counts_.add(claim.settings().id, {.running = static_cast<std::int64_t>(items.size())});
  return settle_parts(session, nobody, claim, {&all}).again;
}

void JobSource::be_durable(pg::Session& session, bool durable) {
  if (!session.keeps_state()) return;
  const bool relaxed = relaxed_session_ == session.backend_pid();
  if (relaxed == !durable) return;
  session.set("synchronous_commit", durable ? "on" : "off");
  relaxed_session_ = durable ? 0 : session.backend_pid();
}

void JobSource::drop(const work::Settlement& settlement) noexcept {
  const auto& claim = static_cast<const JobClaim&>(*settlement.claim);
  counts_.add(claim.settings().id, {.running = -static_cast<std::int64_t>(settlement.outcomes.size())});
}

bool JobSource::is_cancelled(std::int64_t id) const {
  const MutexLock lock(mutex_);
  return cancelled_.contains(id);
}

void JobSource::forget_cancels(const JobClaim& claim, const std::vector<const work::Settlement*>& parts) {
  const MutexLock lock(mutex_);
  if (cancelled_.empty()) return;
  for (const work::Settlement* part : parts) {
    for (const work::Item& item : claim.items().subspan(part->first, part->outcomes.size()))
      cancelled_.erase(item.id);
  }
}

}  // namespace weir::queue
