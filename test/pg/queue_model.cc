#include "queue_model.h"

#include <algorithm>

#include <fmt/format.h>

namespace weir::queue {

using work::Outcome;

void Model::wait(ModelJob job, bool new_place) {
  if (new_place) job.place = ++places;
  waiting[job.id] = std::move(job);
}

void Model::give_key_back(const ModelJob& job) {
  const auto found = keys.find({job.queue, job.unique_key});
  if (found != keys.end() && found->second.job == job.id && !found->second.windowed) keys.erase(found);
}

int Model::running(int queue, const std::string* limit_key) const {
  int count = 0;
  for (const auto& [key, claim] : claims) {
    if (claim.queue != queue) continue;
    for (const ModelJob& job : claim.jobs)
      count +=
          !claim.settled.contains(job.id) && (limit_key == nullptr || *limit_key == job.limit_key) ? 1 : 0;
  }
  return count;
}

std::vector<std::int64_t> Model::next(int queue, int wanted) const {
  std::vector<ModelJob> jobs;
  for (const auto& [id, job] : waiting)
    if (job.queue == queue) jobs.push_back(job);
  std::sort(jobs.begin(), jobs.end(), [](const ModelJob& a, const ModelJob& b) {
    return std::pair(a.priority, a.place) < std::pair(b.priority, b.place);
  });
  std::vector<std::int64_t> ids;
  std::map<std::string, int> taken;
  const int free = queue == 2 ? std::min(wanted, kMaxRunning - running(queue)) : wanted;
  for (const ModelJob& job : jobs) {
    if (static_cast<int>(ids.size()) >= free) break;
    if (queue == 2 && !job.limit_key.empty() &&
        running(queue, &job.limit_key) + taken[job.limit_key] >= kMaxPerKey)
      continue;
    ++taken[job.limit_key];
    ids.push_back(job.id);
  }
  return ids;
}

void Model::settle(const ClaimKey& key, std::int64_t id, const Outcome& outcome) {
  ModelClaim& claim = claims.at(key);
  ModelJob job =
      *std::find_if(claim.jobs.begin(), claim.jobs.end(), [&](const auto& each) { return each.id == id; });
  const bool last = job.attempt >= job.max_attempts;
  const bool cancelled = cancels.erase(id) > 0;
  using Kind = Outcome::Kind;
  const Kind kind = outcome.kind();
  if (kind == Kind::done || cancelled) {
    give_key_back(job);
    ++ended;
  } else if (kind == Kind::discarded || (last && (kind == Kind::failed || kind == Kind::retry))) {
    give_key_back(job);
    dead[id] = job;
  } else if (kind == Kind::returned) {
    --job.attempt;
    wait(job, false);
  } else {
    if (kind == Kind::snoozed) --job.attempt;
    later[id] = job;
  }
  claim.settled.insert(id);
  if (claim.settled.size() == claim.jobs.size()) claims.erase(key);
}

void Model::rescue(const ClaimKey& key) {
  ModelClaim claim = std::move(claims.at(key));
  claims.erase(key);
  for (const ModelJob& job : claim.jobs) {
    if (claim.settled.contains(job.id)) continue;
    if (cancels.erase(job.id) > 0) {
      give_key_back(job);
      ++ended;
    } else if (job.attempt >= job.max_attempts) {
      give_key_back(job);
      dead[job.id] = job;
    } else {
      wait(job, false);
    }
  }
}

std::string Model::describe() const {
  std::vector<std::string> lines;
  const auto line = [&](std::string_view home, const ModelJob& job) {
    lines.push_back(fmt::format("{} {} q{} p{} {}/{} {}", home, job.id, job.queue, job.priority, job.attempt,
                                job.max_attempts, job.limit_key));
  };
  for (const auto& [id, job] : waiting) line("waits", job);
  for (const auto& [id, job] : later) line("later", job);
  for (const auto& [id, job] : dead) line("dead", job);
  for (const auto& [key, claim] : claims) {
    for (const ModelJob& job : claim.jobs)
      if (!claim.settled.contains(job.id)) line(fmt::format("claimed by {}.{}", key.first, key.second), job);
  }
  for (const auto& [key, holder] : keys)
    lines.push_back(fmt::format("key q{} {} of {}{}", key.first, key.second, holder.job,
                                holder.windowed ? " for a time" : ""));
  for (const std::int64_t id : cancels) lines.push_back(fmt::format("cancel {}", id));
  for (const auto& [id, process] : processes)
    lines.push_back(fmt::format("process {}{}", id, process.dead ? " dead" : ""));
  lines.push_back(fmt::format("slots {}", running(2)));
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& each : lines) text += each + '\n';
  return text;
}

const char* const kState = R"(
WITH line(t) AS (
  SELECT concat('waits ', coalesce(own_id, seq), ' q', queue_id, ' p', priority, ' ', attempt, '/', max_attempts, ' ', limit_key)
    FROM weir.job
  UNION ALL
  SELECT concat('later ', id, ' q', queue_id, ' p', priority, ' ', attempt, '/', max_attempts, ' ', limit_key) FROM weir.job_later
  UNION ALL
  SELECT concat('dead ', id, ' q', queue_id, ' p', priority, ' ', attempt, '/', max_attempts, ' ', limit_key) FROM weir.job_dead
  UNION ALL
  SELECT concat('claimed by ', c.worker_id, '.', c.number, ' ', j.id, ' q', c.queue_id, ' p', j.priority, ' ', j.attempt, '/',
                j.max_attempts, ' ', j.limit_key)
    FROM weir.job_claim c, unnest(c.jobs) j WHERE j.seq <> ALL (c.settled)
  UNION ALL
  SELECT concat('key q', queue_id, ' ', unique_key, ' of ', job_id, CASE WHEN until IS NOT NULL THEN ' for a time' END)
    FROM weir.job_unique
  UNION ALL SELECT concat('cancel ', job_id) FROM weir.job_cancel
  UNION ALL SELECT concat('process ', id, CASE WHEN dead THEN ' dead' END) FROM weir.process
  UNION ALL SELECT concat('slots ', count(*)) FROM weir.job_slot
)
SELECT coalesce(string_agg(t || E'\n', '' ORDER BY t COLLATE "C"), '') FROM line)";

}  // namespace weir::queue
