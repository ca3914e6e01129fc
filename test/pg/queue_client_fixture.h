#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "queue/client.h"
#include "queue/kinds.h"
#include "queue/worker.h"
#include "support/database.h"

namespace weir::queue {

/// A database with Weir's schema, a client of it, and workers where a test wants one.
class ClientTest : public test::SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    pool_.emplace(shared_connector(), pg::PoolOptions{.name = "test"});
    client_.emplace(*pool_);
  }
  void TearDown() override {
    pool_.reset();
    SchemaTest::TearDown();
  }

  std::string text(const std::string& sql) {
    pg::Session session = this->session();
    return session.execute("SELECT coalesce((" + sql + ")::text, 'nothing')")[0].get<std::string>(0);
  }
  std::string count(const std::string& from) { return text("SELECT count(*) FROM " + from); }

  /// All that a queue holds, without ids and times that differ from run to run.
  std::string contents() {
    return text(
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM ("
        "  SELECT concat_ws(' ', 'job', q.name, j.kind, coalesce(j.payload, p.payload), j.payload IS NULL,"
        "         j.priority, j.max_attempts, j.limit_key, j.unique_key, j.deadline_at, j.attempt, j.lane) "
        "AS line"
        "    FROM weir.job j JOIN weir.queue q ON q.id = j.queue_id LEFT JOIN weir.job_payload p ON p.id = "
        "j.seq"
        "  UNION ALL SELECT concat_ws(' ', 'later', q.name, l.kind, coalesce(l.payload, p.payload), "
        "l.payload IS "
        "NULL,"
        "         l.priority, l.max_attempts, l.limit_key, l.unique_key, l.deadline_at, l.attempt, l.lane,"
        "         round(extract(epoch FROM l.run_at - now()) / 60))"
        "    FROM weir.job_later l JOIN weir.queue q ON q.id = l.queue_id LEFT JOIN weir.job_payload p ON "
        "p.id = l.id) x");
  }

  static std::int64_t in_bulk(pg::Session& session, const std::vector<NewJob>& jobs) {
    std::size_t at = 0;
    return enqueue_bulk(session, [&](NewJob& job) {
      if (at == jobs.size()) return false;
      job = jobs[at++];
      return true;
    });
  }

  /// A worker whose handler waits until it is let go, and then says what the test wants.
  std::unique_ptr<Worker> worker(JobFunction function, WorkerOptions options = {.queues = {"q"}}) {
    functions_[""] = std::move(function);
    auto worker = std::make_unique<Worker>(
        shared_connector(), [this] { return std::make_unique<Kinds>(functions_); }, std::move(options));
    worker->asleep().enable();
    worker->start();
    return worker;
  }
  void work_off(const JobFunction& function) {
    const auto worker = this->worker(function, {.queues = {"q"}, .once = true});
    worker->wait_until_finished({});
    worker->stop();
  }

  std::optional<pg::Pool> pool_;
  std::optional<Client> client_;
  Kinds::Functions functions_;
};

}  // namespace weir::queue
