#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <weir/new_job.h>

#include "pg/pool.h"

namespace weir::queue {

/// Adds a job within the transaction that the session is in: it is there when that commits, and never was
/// when it is rolled back. Answers its id; for a unique key that is taken, the id of who has it. Like all
/// here, checks before anything is sent (check_job).
std::int64_t enqueue(pg::Session& session, const NewJob& job);

/// Several jobs by one statement; their ids in the same order. For what fits into memory (else BulkEnqueue).
std::vector<std::int64_t> enqueue_many(pg::Session& session, std::span<const NewJob> jobs);

/// Writes the next job over the one it is given; false when there is none.
using NextJob = std::function<bool(NewJob&)>;
/// Any number of jobs by COPY, in bounded memory, within the session's open transaction. Answers how many.
std::int64_t enqueue_bulk(pg::Session& session, const NextJob& next);

/// Enqueues in transactions of its own, on sessions of a pool. Any thread. When the session is lost in
/// mid-way it is InDoubt whether the jobs are there; a unique key makes it safe to try again.
class Client {
 public:
  /// The pool must outlive it.
  explicit Client(pg::Pool& pool) noexcept : pool_(pool) {}

  std::int64_t enqueue(const NewJob& job);
  std::vector<std::int64_t> enqueue_many(std::span<const NewJob> jobs);
  std::int64_t enqueue_bulk(const NextJob& next);

 private:
  pg::Pool& pool_;
};

}  // namespace weir::queue
