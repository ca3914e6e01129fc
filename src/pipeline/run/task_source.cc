#include "pipeline/run/task_source.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "base/log.h"
#include "base/text.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "schema/queries/alerts.h"
#include "schema/queries/tasks.h"
#include "work/process.h"

namespace weir::pipeline {
namespace {

/// Between two rounds of chores, where nothing is known to be due sooner.
constexpr Duration kKeepInterval = std::chrono::seconds(5);
/// A pool that somebody else claims from is free again in a moment.
constexpr Duration kLookAgain = std::chrono::milliseconds(5);
/// What has waited to be told for so long, nobody is about to tell.
constexpr std::int64_t kForgottenMs = 3000;
constexpr std::int32_t kMostAtOnce = 1000;

class TaskClaim final : public work::Claim {
 public:
  void add(const std::shared_ptr<TaskAttempt>& attempt) {
    attempts_.push_back(attempt);
    items_.push_back({.id = attempt->id,
                      .source = "task",
                      .kind = {},
                      .payload = attempt->element,
                      .attempt = attempt->attempt,
                      .max_attempts = attempt->attempt});
  }
  [[nodiscard]] std::span<const work::Item> items() const noexcept override { return items_; }
  [[nodiscard]] TaskAttempt& attempt(std::size_t index) const { return *attempts_[index]; }

 private:
  std::vector<std::shared_ptr<TaskAttempt>> attempts_;
  std::vector<work::Item> items_;
};

}  // namespace

TaskSource::TaskSource(Definitions& definitions, TasksInFlight& in_flight, pg::Session& session)
    : definitions_(definitions), in_flight_(in_flight), scheduler_(definitions) {
  keep_history(session);
}

std::shared_ptr<work::Claim> TaskSource::claim(pg::Session& session, const work::Life& life,
                                               std::size_t wanted, bool /*thorough*/) {
  ++claims_;
  const auto rows = session.run<sql::ClaimTasks>(
      life.id(), claims_, static_cast<std::int32_t>(std::min<std::size_t>(wanted, kMostAtOnce)), turn_pool_,
      turn_pipeline_, definitions_.avoided());
  busy_ = false;
  auto claim = std::make_shared<TaskClaim>();
  for (const auto& row : rows) {
    if (!row.run_id) {
      busy_ = true;
      continue;
    }
    claim->add(in_flight_.add({.key = {*row.run_id, *row.task_no, *row.item},
                               .worker = life.id(),
                               .claim = claims_,
                               .attempt = *row.attempt,
                               .failures = *row.failures,
                               .pipeline = *row.pipeline_id,
                               .version = *row.version,
                               .logical_at = *row.logical_at,
                               .interval_start = *row.interval_start,
                               .interval_end = *row.interval_end,
                               .params = std::string(row.params->text),
                               .element = row.element ? std::string(row.element->text) : std::string()}));
    turn_pool_ = *row.pool_id;
    turn_pipeline_ = *row.pipeline_id;
  }
  return claim->items().empty() ? nullptr : claim;
}

void TaskSource::resolve(pg::Session& session, const work::Life& life) {
  session.run<sql::ReturnTaskClaim>(life.id(), claims_);
}

std::optional<Duration> TaskSource::next_look() const {
  return busy_ ? std::optional(kLookAgain) : std::nullopt;
}

bool TaskSource::has_more(pg::Session& session) {
  const auto rows = session.run<sql::HasRuns>();
  return rows.one().has;
}

std::size_t TaskSource::settle(pg::Session& session, const work::Life& life,
                               std::vector<work::Settlement>& pending, bool /*all*/) {
  // First what the last call could not do: its ends are written.
  if (!after_settling_.empty()) carry_out(after_settling_, session);

  std::vector<EndedAttempt> ended;
  std::vector<std::int64_t> ids;
  for (const work::Settlement& settlement : pending) {
    const auto& claim = static_cast<const TaskClaim&>(*settlement.claim);
    for (std::size_t i = 0; i < settlement.outcomes.size(); ++i) {
      const TaskAttempt& attempt = claim.attempt(settlement.first + i);
      ids.push_back(attempt.id);
      if (attempt.result.written.is_set()) {
        after_settling_.add(attempt.result.news);
        count({"success"});
        continue;
      }
      const work::Outcome& outcome = settlement.outcomes[i];
      ended.push_back({&attempt, decide_ending(outcome, attempt.result, attempt.failures, random_unit()),
                       outcome.is_done()             ? std::string()
                       : attempt.result.lost.empty() ? outcome.text()
                                                     : attempt.result.lost});
    }
  }
  std::size_t refused = 0;
  if (!ended.empty()) {
    std::vector<TaskNews> news;
    with_history(session, [&] { news = finish_tasks(session, life.id(), ended); });
    std::set<TaskKey> accepted;
    for (const TaskNews& each : news) accepted.insert(each.key);
    for (const EndedAttempt& each : ended) {
      if (accepted.contains(each.attempt->key)) {
        count(each.ending);
      } else {
        ++refused;
      }
    }
    after_settling_.add(news);
    const bool again = std::any_of(ended.begin(), ended.end(), [](const EndedAttempt& each) {
      return each.ending.state == "retry_wait";
    });
    if (again) keep_soon();
  }
  // Written: whatever fails from here on is not written again.
  pending.clear();
  // The answer of the first try may have been lost, and with it that successors are ready.
  if (refused > 0) claim_soon();
  for (const std::int64_t id : ids) in_flight_.forget(id);
  carry_out(after_settling_, session);
  return refused;
}

void TaskSource::count(const Ending& ending) {
  if (ending.state == "failed") ++counts_.failed;
  if (ending.state == "success" || ending.state == "skipped") ++counts_.done;
  if (ending.state == "retry_wait") ++counts_.retried;
}

void TaskSource::carry_out(Aftermath& aftermath, pg::Session& session) {
  with_history(session, [&] { aftermath.carry_out(session); });
  if (aftermath.leave_untold()) {
    tells_at_once_ = true;
    keep_soon();
  }
  if (std::exchange(aftermath.ready, false)) claim_soon();
  if (std::exchange(aftermath.alerts, false) && alerts_due_) alerts_due_();
}

/// History's partitions are there for a week ahead. A clock that has stepped further finds none, and without
/// them no end of anything could be written: they are made, and it is done once more.
template <class Action>
void TaskSource::with_history(pg::Session& session, Action&& action) {
  try {
    action();
    return;
  } catch (const pg::Error& error) {
    if (error.sqlstate() != kNoPartition) throw;
    log::warn("history has no room for this time; it is made", {{"error", error.what()}});
  }
  keep_history(session);
  action();
}

void TaskSource::drop(const work::Settlement& settlement) noexcept {
  const auto& claim = static_cast<const TaskClaim&>(*settlement.claim);
  for (std::size_t i = 0; i < settlement.outcomes.size(); ++i)
    in_flight_.forget(claim.attempt(settlement.first + i).id);
}

std::vector<std::int64_t> TaskSource::cancelled(pg::Session& session, const work::Life& life) {
  // What was begun after this was read is not missed in it.
  const auto begun = in_flight_.all();
  std::set<std::pair<TaskKey, std::int64_t>> own;
  for (const auto& row : session.run<sql::OwnTasks>(life.id())) {
    if (!row.cancelled) own.insert({{row.run_id, row.task_no, row.item}, row.claim});
  }
  std::vector<std::int64_t> ids;
  for (const auto& attempt : begun) {
    // Its row says no more that it runs: what is still done for it, such as a VACUUM, is nobody's to stop.
    if (attempt->result.written.is_set()) continue;
    if (attempt->worker == life.id() && !own.contains({attempt->key, attempt->claim}))
      ids.push_back(attempt->id);
  }
  return ids;
}

void TaskSource::rescue(pg::Session& session) {
  for (;;) {
    bool more = false;
    with_history(session, [&] {
      const auto rows = session.run<sql::RescueTasks>(kMostAtOnce);
      after_keeping_.add(to_news_of(rows));
      more = rows.size() == kMostAtOnce;
    });
    carry_out(after_keeping_, session);
    if (!more) return;
  }
}

Duration TaskSource::keep(pg::Session& session, const work::Life& /*life*/) {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now >= history_due_) {
    keep_history(session);
    session.run<sql::MendClocks>();
    history_due_ = now + std::chrono::hours(1);
  }
  return do_chores(session);
}

Duration TaskSource::do_chores(pg::Session& session) {
  Duration pause = kKeepInterval;
  const auto no_later_than = [&](std::int64_t ms) {
    pause = std::min<Duration>(pause, std::chrono::milliseconds(ms));
  };
  bool updated = false;
  {
    // One transaction: this is what an idle process costs.
    pg::Transaction transaction(session);
    for (const auto& row : session.run<sql::NextFiring>(std::nullopt, definitions_.avoided()))
      no_later_than(row.next_ms);
    const auto promoted = session.run<sql::PromoteTasks>(kMostAtOnce);
    if (const auto row = promoted.one(); row.promoted > 0 || row.next_ms) {
      after_keeping_.ready = after_keeping_.ready || row.promoted > 0;
      no_later_than(row.promoted == kMostAtOnce ? 0 : row.next_ms.value_or(0) + 1);
    }
    after_keeping_.add(to_news_of(
        session.run<sql::UntoldTasks>(tells_at_once_.exchange(false) ? 0 : kForgottenMs, kMostAtOnce)));
    for (const auto& row : session.run<sql::StartablePipelines>()) after_keeping_.add_pipeline(row.id);
    for (const auto& row : session.run<sql::LateRuns>()) {
      log::warn("a run is late", {{"pipeline", row.pipeline}, {"run", row.run_id}});
    }
    for (const auto& row : session.run<sql::NextAlert>()) {
      after_keeping_.alerts = after_keeping_.alerts || row.next_ms == 0;
      if (row.next_ms > 0) no_later_than(row.next_ms);
    }
    const auto datasets = session.run<sql::HasDatasetUpdates>();
    updated = datasets.one().has;
    transaction.commit();
  }
  // Before anything of a single pipeline, which may fail.
  carry_out(after_keeping_, session);
  if (pause == Duration::zero()) pause = scheduler_.fire(session, kKeepInterval);
  if (updated) scheduler_.fire_updated(session);
  return pause;
}

void TaskSource::keep_history(pg::Session& session) {
  try {
    pg::Transaction transaction(session);
    transaction.set_local("lock_timeout", "2s");
    session.run<sql::KeepRunHistory>();
    session.run<sql::ForgetAlerts>();
    transaction.commit();
  } catch (const pg::LockTimeout& error) {
    log::warn("history could not be made ahead; it is tried again", {{"error", error.what()}});
  }
}

}  // namespace weir::pipeline
