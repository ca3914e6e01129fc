#include "queue/client.h"

#include <algorithm>

#include "pg/transaction.h"
#include "queue/bulk_enqueue.h"
#include "queue/job_check.h"
#include "queue/job_values.h"
#include "schema/queries/jobs.h"

namespace weir::queue {
namespace {

/// Whether weir.enqueue_many() has all that these jobs say.
bool are_alike(std::span<const NewJob> jobs) {
  const NewJob& first = jobs.front();
  return std::all_of(jobs.begin(), jobs.end(), [&first](const NewJob& job) {
    return !job.unique_key && !job.limit_key && !job.deadline && job.queue == first.queue &&
           job.kind == first.kind && job.priority == first.priority && job.run_at == first.run_at &&
           job.delay == first.delay && job.max_attempts == first.max_attempts;
  });
}

template <class NamedQuery>
std::vector<std::int64_t> ids_of(const pg::Rows<NamedQuery>& rows) {
  std::vector<std::int64_t> ids;
  ids.reserve(static_cast<std::size_t>(rows.size()));
  for (const auto& row : rows) ids.push_back(row.id);
  return ids;
}

std::vector<std::int64_t> enqueue_alike(pg::Session& session, std::span<const NewJob> jobs) {
  const NewJob& first = jobs.front();
  std::vector<pg::JsonView> payloads;
  payloads.reserve(jobs.size());
  for (const NewJob& job : jobs) payloads.push_back({job.payload});
  return ids_of(session.run<sql::EnqueueAlike>(first.queue, payloads, first.kind, first.priority,
                                               wall(first.run_at), count(first.delay), first.max_attempts));
}

template <class T, class Get>
std::vector<T> column(std::span<const NewJob> jobs, Get get) {
  std::vector<T> values;
  values.reserve(jobs.size());
  for (const NewJob& job : jobs) values.push_back(get(job));
  return values;
}

std::vector<std::int64_t> enqueue_each(pg::Session& session, std::span<const NewJob> jobs) {
  using Text = std::string_view;
  using MaybeText = std::optional<std::string_view>;
  using MaybeTime = std::optional<WallTime>;
  using MaybeSpan = std::optional<std::int64_t>;
  return ids_of(session.run<sql::EnqueueJobs>(
      column<Text>(jobs, [](const NewJob& job) { return Text(job.queue); }),
      column<pg::JsonView>(jobs, [](const NewJob& job) { return pg::JsonView{job.payload}; }),
      column<Text>(jobs, [](const NewJob& job) { return Text(job.kind); }),
      column<std::int32_t>(jobs, [](const NewJob& job) { return job.priority; }),
      column<MaybeTime>(jobs, [](const NewJob& job) { return wall(job.run_at); }),
      column<MaybeSpan>(jobs, [](const NewJob& job) { return count(job.delay); }),
      column<std::optional<std::int32_t>>(jobs, [](const NewJob& job) { return job.max_attempts; }),
      column<MaybeText>(jobs, [](const NewJob& job) { return view(job.unique_key); }),
      column<MaybeSpan>(jobs, [](const NewJob& job) { return count(job.unique_for); }),
      column<Text>(jobs, [](const NewJob& job) { return to_string(job.if_exists); }),
      column<MaybeText>(jobs, [](const NewJob& job) { return view(job.limit_key); }),
      column<MaybeTime>(jobs, [](const NewJob& job) { return wall(job.deadline); })));
}

/// Runs one statement that is a transaction of its own. Once it was sent, nobody knows what became of it when
/// the session goes.
template <class Work>
auto alone(pg::Pool& pool, Work work) {
  pg::Lease lease = pool.lease();
  try {
    auto answer = work(*lease);
    std::move(lease).return_clean();
    return answer;
  } catch (const pg::Error& error) {
    const pg::ErrorKind kind = error.kind();
    if (kind != pg::ErrorKind::lost && kind != pg::ErrorKind::deadline && kind != pg::ErrorKind::stopped)
      throw;
    pg::raise(
        {.kind = pg::ErrorKind::in_doubt,
         .message = std::string("whether the job was enqueued is not known: the session was lost before the "
                                "answer came: ") +
                    error.what(),
         .hint = "Give the job a unique_key; then it can be enqueued again without becoming two."});
  }
}

}  // namespace

std::int64_t enqueue(pg::Session& session, const NewJob& job) {
  check_job(job);
  const auto answer = session.run<sql::EnqueueJob>(
      job.queue, pg::JsonView{job.payload}, job.kind, job.priority, wall(job.run_at), count(job.delay),
      job.max_attempts, view(job.unique_key), count(job.unique_for), to_string(job.if_exists),
      view(job.limit_key), wall(job.deadline));
  return answer.one().id;
}

std::vector<std::int64_t> enqueue_many(pg::Session& session, std::span<const NewJob> jobs) {
  if (jobs.empty()) return {};
  for (const NewJob& job : jobs) check_job(job);
  return are_alike(jobs) ? enqueue_alike(session, jobs) : enqueue_each(session, jobs);
}

std::int64_t enqueue_bulk(pg::Session& session, const NextJob& next) {
  BulkEnqueue bulk(session);
  for (NewJob job; next(job);) bulk.add(job);
  return bulk.finish();
}

std::int64_t Client::enqueue(const NewJob& job) {
  return alone(pool_, [&](pg::Session& session) { return queue::enqueue(session, job); });
}

std::vector<std::int64_t> Client::enqueue_many(std::span<const NewJob> jobs) {
  return alone(pool_, [&](pg::Session& session) { return queue::enqueue_many(session, jobs); });
}

std::int64_t Client::enqueue_bulk(const NextJob& next) {
  pg::Lease lease = pool_.lease();
  pg::Transaction transaction(*lease);
  const std::int64_t jobs = queue::enqueue_bulk(*lease, next);
  transaction.commit();
  std::move(lease).return_clean();
  return jobs;
}

}  // namespace weir::queue
