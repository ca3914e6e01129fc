#pragma once

#include <memory>
#include <string>

#include "queue/kinds.h"
#include "queue/worker.h"
#include "support/database.h"

namespace weir::test {

/// A test of the job queue: a database with Weir's schema, and workers whose handlers are functions_.
class QueueTest : public SchemaTest {
 protected:
  /// Answers the id; `arguments` are those of weir.enqueue() in SQL.
  std::int64_t enqueue(const std::string& arguments);
  /// Jobs of kind "count" with {"n": 1} and so on.
  void enqueue_many(const std::string& queue, int count);
  std::int64_t count(const std::string& from);
  std::string text(const std::string& sql);

  std::unique_ptr<queue::Worker> worker(queue::WorkerOptions options);
  /// Works until nothing is left.
  void work_off(queue::WorkerOptions options);
  /// Nothing of any job is anywhere, save what was given up or is history.
  void expect_no_job_left();

  queue::Kinds::Functions functions_;
};

}  // namespace weir::test
