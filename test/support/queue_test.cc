#include "support/queue_test.h"

namespace weir::test {

std::int64_t QueueTest::enqueue(const std::string& arguments) {
  pg::Session session = this->session();
  return session.execute("SELECT weir.enqueue(" + arguments + ")")[0].get<std::int64_t>(0);
}

void QueueTest::enqueue_many(const std::string& queue, int count) {
  pg::Session session = this->session();
  session.execute(
      "SELECT count(*) FROM weir.enqueue_many($1, ARRAY(SELECT jsonb_build_object('n', n) FROM "
      "generate_series(1, $2::int4) n), 'count')",
      queue, count);
}

std::int64_t QueueTest::count(const std::string& from) {
  pg::Session session = this->session();
  return session.execute("SELECT count(*) FROM " + from)[0].get<std::int64_t>(0);
}

std::string QueueTest::text(const std::string& sql) {
  pg::Session session = this->session();
  const pg::Result result = session.execute(sql);
  return result.rows() == 0 ? "nothing" : result[0].get<std::string>(0);
}

std::unique_ptr<queue::Worker> QueueTest::worker(queue::WorkerOptions options) {
  return std::make_unique<queue::Worker>(
      shared_connector(), [this] { return std::make_unique<queue::Kinds>(functions_); }, std::move(options));
}

void QueueTest::work_off(queue::WorkerOptions options) {
  options.once = true;
  const auto worker = this->worker(std::move(options));
  worker->start();
  worker->wait_until_finished({});
  worker->stop();
}

void QueueTest::expect_no_job_left() {
  for (const char* table : {"weir.job", "weir.job_claim", "weir.job_later", "weir.job_slot",
                            "weir.job_cancel", "weir.job_progress", "weir.process", "weir.listener"}) {
    EXPECT_EQ(count(table), 0) << table;
  }
}

}  // namespace weir::test
