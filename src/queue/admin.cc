#include "queue/admin.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/transaction.h"
#include "schema/queries/admin.h"
#include "schema/queries/jobs.h"

namespace weir::queue {
namespace {

constexpr std::int64_t kReplayStep = 1000;

std::vector<std::string_view> views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

std::optional<std::int64_t> to_ms(const std::optional<Duration>& span) {
  return span ? std::optional<std::int64_t>(*span / std::chrono::milliseconds(1)) : std::nullopt;
}

QueueConfig to_config(const sql::QueueConfigs::Row& row) {
  QueueConfig config;
  config.id = row.id;
  config.name = row.name;
  config.paused = row.paused;
  config.relaxed = row.relaxed;
  config.max_attempts = row.max_attempts;
  config.backoff = std::chrono::milliseconds(row.backoff_ms);
  config.backoff_cap = std::chrono::milliseconds(row.backoff_cap_ms);
  if (row.timeout_ms) config.timeout = std::chrono::milliseconds(*row.timeout_ms);
  config.keep_days = row.keep_days;
  config.keep_dead_days = row.keep_dead_days;
  config.max_running = row.max_running;
  config.max_per_key = row.max_per_key;
  if (row.rate_limit && row.rate_period_ms)
    config.rate = QueueConfig::Rate{*row.rate_limit, std::chrono::milliseconds(*row.rate_period_ms)};
  return config;
}

[[noreturn]] void throw_no_queue(pg::Session& session, std::string_view name) {
  std::vector<std::string> all;
  for (const auto& row : session.run<sql::QueueConfigs>(std::vector<std::string_view>()))
    all.emplace_back(row.name);
  const std::vector<std::string_view> known = views(all);
  const auto near = closest(name, known);
  throw Error(
      ExitCode::usage, fmt::format("there is no queue '{}'", printable(name)),
      near ? fmt::format("Did you mean '{}'? All queues: weir queue list", printable(*near))
           : "All queues: weir queue list. A queue is made by its first job, its first worker, or weir queue "
             "set.");
}

/// What runs already counts for the limits of a queue, too. After they were committed: claims that do not see
/// them yet are waited for.
void count_running(pg::Session& session, std::int32_t queue) {
  pg::Transaction transaction(session);
  session.run<sql::WaitForClaims>();
  session.run<sql::GiveSlots>(queue);
  transaction.commit();
}

}  // namespace

std::int32_t find_queue(pg::Session& session, std::string_view name) {
  const auto rows = session.run<sql::QueueConfigs>(std::vector{name});
  if (rows.empty()) throw_no_queue(session, name);
  return rows[0].id;
}

std::vector<QueueConfig> read_queues(pg::Session& session, const std::vector<std::string>& names) {
  for (const std::string& name : names) find_queue(session, name);
  std::vector<QueueConfig> configs;
  const auto rows = session.run<sql::QueueConfigs>(views(names));
  for (const auto& row : rows) configs.push_back(to_config(row));
  return configs;
}

QueueConfig change_queue(pg::Session& session, std::string_view name, std::span<const std::string> words) {
  check_queue_name(name);
  // Before anything is made of it: a mistake in a word must not leave an empty queue behind.
  QueueConfig checked;
  for (const std::string& word : words) set_word(checked, word);

  pg::Transaction transaction(session);
  const auto made = session.run<sql::MakeQueue>(name);
  const std::int32_t id = made.one().id;
  session.run<sql::LockQueue>(id);
  const auto rows = session.run<sql::QueueConfigs>(std::vector{name});
  QueueConfig config = to_config(rows.one());
  for (const std::string& word : words) set_word(config, word);
  check_config(config);
  const auto rate_jobs = config.rate ? std::optional(config.rate->jobs) : std::nullopt;
  const auto rate_span = config.rate ? std::optional(config.rate->period) : std::nullopt;
  session.run<sql::ChangeQueue>(id, config.relaxed, static_cast<std::int16_t>(config.max_attempts),
                                *to_ms(config.backoff), *to_ms(config.backoff_cap), to_ms(config.timeout),
                                config.keep_days, config.keep_dead_days, config.max_running,
                                config.max_per_key, rate_jobs, to_ms(rate_span));
  // A limit that went may be what workers wait for.
  session.run<sql::WakeQueues>(std::vector{id});
  transaction.commit();
  if (config.max_running || config.max_per_key || config.rate) count_running(session, id);
  return config;
}

void pause_queues(pg::Session& session, const std::vector<std::string>& names, bool paused) {
  pg::Transaction transaction(session);
  for (const std::string& name : names) find_queue(session, name);
  std::vector<std::int32_t> ids;
  const auto rows = session.run<sql::PauseQueues>(views(names), paused);
  for (const auto& row : rows) ids.push_back(row.id);
  if (!paused) session.run<sql::WakeQueues>(ids);
  transaction.commit();
}

std::vector<JobLine> list_jobs(pg::Session& session, const JobFilter& filter) {
  std::optional<std::int32_t> queue;
  if (filter.queue) queue = find_queue(session, *filter.queue);
  const auto rows = session.run<sql::ListJobs>(filter.states, queue, filter.kind, filter.most);
  std::vector<JobLine> jobs;
  for (const auto& row : rows) {
    if (static_cast<std::int64_t>(jobs.size()) == filter.most) break;
    JobLine& job = jobs.emplace_back();
    job.id = row.id;
    job.queue = row.queue_name;
    job.state = row.state;
    job.kind = row.kind;
    job.priority = row.priority;
    job.attempt = row.attempt;
    job.max_attempts = row.max_attempts;
    job.created_at = row.created_at;
    job.at = row.at;
    job.worker = row.worker;
    if (row.limit_key) job.limit_key = *row.limit_key;
    job.error = row.error.value_or("");
  }
  return jobs;
}

Retried retry_job(pg::Session& session, std::int64_t id) {
  pg::Transaction transaction(session);
  const std::vector ids{id};
  if (const auto rows = session.run<sql::RetryLaterJobs>(ids); !rows.empty()) {
    session.run<sql::WakeQueues>(std::vector{rows[0].queue});
    transaction.commit();
    return Retried::at_once;
  }
  if (!session.run<sql::ReplayJobs>(ids).empty()) {
    transaction.commit();
    return Retried::replayed;
  }
  const auto found = session.run<sql::FindJob>(id);
  if (found.empty()) return Retried::missing;
  const std::string_view state = found[0].state;
  if (state == "running") return Retried::running;
  // Whatever is seen to be due or dead only now came there while we looked: it will run.
  return state == "done" || state == "cancelled" ? Retried::ended : Retried::waiting;
}

Cancelled cancel_job(pg::Session& session, std::int64_t id) {
  pg::Transaction transaction(session);
  const auto answer = session.run<sql::CancelJob>(id);
  const std::string_view outcome = answer.one().outcome;
  if (outcome == "missing") {
    return session.run<sql::FindJob>(id).empty() ? Cancelled::missing : Cancelled::ended;
  }
  if (outcome == "in_transaction") return Cancelled::in_transaction;
  const Cancelled result = outcome == "stopping" ? Cancelled::stopping : Cancelled::cancelled;
  transaction.commit();
  return result;
}

std::int64_t replay_jobs(pg::Session& session, const std::vector<std::int64_t>& ids) {
  pg::Transaction transaction(session);
  const std::int64_t replayed = session.run<sql::ReplayJobs>(ids).size();
  transaction.commit();
  return replayed;
}

std::int64_t replay_queue(pg::Session& session, std::optional<std::int32_t> queue,
                          const std::function<void(std::int64_t)>& on_step) {
  // What dies again meanwhile is not replayed for ever.
  const auto now = session.run<sql::ServerNow>();
  const WallTime before = now.one().at;
  std::int64_t replayed = 0;
  for (;;) {
    const auto rows = session.run<sql::DeadJobs>(queue, before, kReplayStep);
    if (rows.empty()) return replayed;
    std::vector<std::int64_t> ids;
    for (const auto& row : rows) ids.push_back(row.job);
    replayed += replay_jobs(session, ids);
    on_step(replayed);
  }
}

}  // namespace weir::queue
