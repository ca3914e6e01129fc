#include "queue/bulk_enqueue.h"

#include <algorithm>

#include "base/error.h"
#include "pg/copy.h"
#include "queue/client.h"
#include "queue/job_check.h"
#include "queue/job_values.h"
#include "schema/queries/jobs.h"

namespace weir::queue {
namespace {

constexpr std::size_t kPieceBytes = 1U << 20U;
constexpr std::int64_t kPieceJobs = 10'000;
/// As weir.is_large(), which looks at the size in jsonb's own form; where the two differ a job is as right,
/// and only its claim is a little larger or its start a little later.
constexpr std::size_t kLarge = 8192;

std::int32_t sleepers_for(std::int64_t jobs) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(jobs / 100, 2, 16));
}

}  // namespace

pg::CopyBinary& BulkEnqueue::Rows::begin() {
  ++count_;
  rows_.begin_row();
  return rows_;
}

void BulkEnqueue::Rows::send(pg::Session& session) {
  if (count_ == 0) return;
  rows_.finish();
  pg::CopyIn copy(session, statement_);
  copy.write(rows_.bytes());
  copy.finish();
  rows_ = pg::CopyBinary(columns_);
  count_ = 0;
}

BulkEnqueue::BulkEnqueue(pg::Session& session)
    : session_(&session),
      jobs_(
          "COPY weir.job (seq, queue_id, priority, max_attempts, kind, payload, deadline_at, limit_key) FROM "
          "STDIN (FORMAT binary)",
          8),
      later_(
          "COPY weir.job_later (id, run_at, queue_id, priority, max_attempts, kind, payload, deadline_at, "
          "limit_key) FROM STDIN (FORMAT binary)",
          9),
      payloads_("COPY weir.job_payload (id, payload) FROM STDIN (FORMAT binary)", 2) {
  if (!session.in_transaction()) {
    pg::raise({.kind = pg::ErrorKind::misuse,
               .message = "jobs are enqueued in bulk within a transaction only",
               .hint = "Begin one, and commit it after finish()."});
  }
  const auto answer = session.run<sql::MayCopyJobs>();
  copies_ = answer.one().may;
  now_ = answer.one().now;
}

std::size_t BulkEnqueue::pending_bytes() const noexcept {
  return kept_bytes_ + jobs_.bytes() + later_.bytes() + payloads_.bytes();
}

void BulkEnqueue::add(const NewJob& job) {
  check_job(job);
  if (job.unique_key) {
    throw Error(ExitCode::usage, "a job with a unique key cannot be enqueued in bulk",
                "use enqueue or enqueue_many for it");
  }
  if (copies_) {
    encode(job);
  } else {
    kept_.push_back(job);
    kept_bytes_ += job.payload.size();
  }
  ++added_;
  ++pending_;
  if (pending_bytes() >= kPieceBytes || pending_ >= kPieceJobs) send();
}

void BulkEnqueue::encode(const NewJob& job) {
  Queue& queue = this->queue(job.queue);
  ++queue.jobs;
  const std::int64_t id = next_id();
  std::optional<pg::JsonView> payload = pg::JsonView{job.payload};
  if (job.payload.size() > kLarge) {
    pg::CopyBinary& row = payloads_.begin();
    row.add(id);
    row.add(*payload);
    payload.reset();
  }
  std::optional<WallTime> due = wall(job.run_at);
  if (!due && job.delay) due = now_ + *job.delay;
  const bool later = due && *due > now_;
  pg::CopyBinary& row = later ? later_.begin() : jobs_.begin();
  row.add(id);
  if (later) row.add(*due);
  row.add(queue.id);
  row.add(static_cast<std::int16_t>(job.priority));
  row.add(job.max_attempts ? static_cast<std::int16_t>(*job.max_attempts) : queue.max_attempts);
  row.add(job.kind);
  row.add(payload);
  row.add(wall(job.deadline));
  row.add(job.limit_key);
}

BulkEnqueue::Queue& BulkEnqueue::queue(const std::string& name) {
  if (const auto found = queues_.find(name); found != queues_.end()) return found->second;
  const auto made = session_->run<sql::MakeQueue>(name);
  // A statement of its own: the one that makes a queue does not see it yet.
  const auto settings = session_->run<sql::QueueAttempts>(made.one().id);
  return queues_.emplace(name, Queue{made.one().id, settings.one().max_attempts, 0}).first->second;
}

std::int64_t BulkEnqueue::next_id() {
  if (ids_.empty()) {
    // As many again as there were: a small bulk leaves no large gap.
    const auto wanted = static_cast<std::int32_t>(std::clamp<std::int64_t>(added_, 16, kPieceJobs));
    const auto taken = session_->run<sql::TakeJobIds>(wanted);
    for (const auto& row : taken) ids_.push_back(row.id);
    std::sort(ids_.begin(), ids_.end(), std::greater<>());
  }
  const std::int64_t id = ids_.back();
  ids_.pop_back();
  return id;
}

void BulkEnqueue::send() {
  payloads_.send(*session_);
  jobs_.send(*session_);
  later_.send(*session_);
  enqueue_many(*session_, kept_);
  kept_.clear();
  kept_bytes_ = 0;
  pending_ = 0;
}

std::int64_t BulkEnqueue::finish() {
  send();
  for (const auto& [name, queue] : queues_) session_->run<sql::WakeQueue>(queue.id, sleepers_for(queue.jobs));
  queues_.clear();
  return added_;
}

}  // namespace weir::queue
