#include "queue/job_view.h"

#include <fmt/format.h>

#include "base/text.h"
#include "schema/queries/admin.h"

namespace weir::queue {
namespace {

std::optional<std::string> copy(const std::optional<std::string_view>& text) {
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

std::optional<std::string> copy(const std::optional<pg::JsonView>& json) {
  return json ? std::optional<std::string>(json->text) : std::nullopt;
}

std::string reason_of(pg::Session& session, const sql::FindJob::Row& row, const JobView& job) {
  if (job.state == "running" && !job.worker)
    return "it is in somebody's transaction, mostly of a worker in transactional mode: that cannot be "
           "stopped from here";
  if (job.state == "running" && job.stopping) return "its process was asked to stop it";
  if (job.state == "later")
    return job.attempt > 0 ? "it is tried again when it is due" : "it was scheduled for a time";
  if (job.state == "dead") return "it was given up: weir job retry or weir job replay starts it again";
  if (job.state != "waiting" || !row.seq || !row.priority) return {};
  const auto rows = session.run<sql::WaitingFacts>(row.queue_id, *row.priority, *row.seq, row.limit_key,
                                                   WaitingFacts::kMostAhead + 1);
  if (rows.empty()) return {};
  const auto facts = rows[0];
  return waiting_reason({.paused = facts.paused,
                         .max_running = facts.max_running,
                         .running = facts.running,
                         .max_per_key = facts.max_per_key,
                         .running_of_key = facts.running_of_key,
                         .rate_limit = facts.rate_limit,
                         .started = facts.started,
                         .ahead = facts.ahead,
                         .workers = facts.workers},
                        job.queue, job.limit_key);
}

}  // namespace

std::string waiting_reason(const WaitingFacts& facts, const std::string& queue,
                           const std::optional<std::string>& limit_key) {
  if (facts.paused) return fmt::format("its queue is paused: weir queue resume {}", queue);
  if (facts.workers == 0)
    return fmt::format("no worker listens for its queue: weir worker --queue {}", queue);
  if (facts.max_running && facts.running >= *facts.max_running)
    return fmt::format("its queue runs all the jobs it may (max_running={})", *facts.max_running);
  if (limit_key && facts.max_per_key && facts.running_of_key >= *facts.max_per_key)
    return fmt::format("its limit key runs all the jobs it may (max_per_key={})", *facts.max_per_key);
  if (facts.rate_limit && facts.started >= *facts.rate_limit)
    return fmt::format("its queue started all the jobs it may for now (rate: {})", *facts.rate_limit);
  if (facts.ahead > WaitingFacts::kMostAhead)
    return fmt::format("more than {} jobs are before it", human_count(WaitingFacts::kMostAhead));
  if (facts.ahead > 0)
    return fmt::format("{} {} before it", human_count(facts.ahead), facts.ahead == 1 ? "job is" : "jobs are");
  return "it is the next one";
}

std::optional<JobView> view_job(pg::Session& session, std::int64_t id) {
  const auto rows = session.run<sql::FindJob>(id);
  if (rows.empty()) return std::nullopt;
  const auto row = rows[0];
  JobView job;
  job.id = id;
  job.queue = row.queue_name;
  job.state = row.state;
  job.kind = row.kind;
  job.priority = row.priority;
  job.attempt = row.attempt;
  job.max_attempts = row.max_attempts;
  job.created_at = row.created_at;
  job.started_at = row.started_at;
  job.at = row.at;
  job.deadline = row.deadline_at;
  job.unique_key = copy(row.unique_key);
  job.limit_key = copy(row.limit_key);
  job.error = copy(row.error);
  job.payload = copy(row.payload);
  job.result = copy(row.result);
  job.worker = row.worker;
  job.worker_name = copy(row.worker_name);
  job.stopping = row.stopping;
  job.progress = row.share;
  job.note = copy(row.note);
  job.reason = reason_of(session, row, job);
  return job;
}

}  // namespace weir::queue
