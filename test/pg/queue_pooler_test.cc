// The queue through pgbouncer in transaction mode: no LISTEN, no session locks, nothing prepared, no settings
// left.

#include <atomic>
#include <set>

#include <gtest/gtest.h>

#include "base/mutex.h"
#include "support/pgbouncer.h"
#include "support/queue_test.h"
#include "support/waiting.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class QueuePoolerTest : public test::QueueTest, public ::testing::WithParamInterface<Delivery> {};

INSTANTIATE_TEST_SUITE_P(Mode, QueuePoolerTest, ::testing::Values(Delivery::leased, Delivery::transactional),
                         [](const auto& mode) {
                           return mode.param == Delivery::leased ? "Leased" : "Transactional";
                         });

TEST_P(QueuePoolerTest, JobsAreDoneAndNoSessionStateIsUsed) {
  const test::PgBouncer bouncer(test::PgBouncer::Mode::transaction);
  const auto through = std::make_shared<const pg::Connector>(bouncer.conninfo(database()));
  // A job may come twice, where a lease is lost on a busy machine.
  Mutex mutex;
  std::set<std::int64_t> done;
  const auto jobs_done = [&] {
    const MutexLock lock(mutex);
    return done.size();
  };
  std::atomic<int> tries{0};
  functions_["count"] = [&](const JobContext& context) {
    const MutexLock lock(mutex);
    done.insert(context.job.id);
    return Outcome::done();
  };
  functions_["late"] = [&](const JobContext& context) {
    ++tries;
    return context.job.attempt == 1 ? Outcome::retry(1ms, "once more") : Outcome::done();
  };
  enqueue_many("q", 300);
  const auto make = [&] {
    return std::make_unique<Worker>(
        through, [this] { return std::make_unique<Kinds>(functions_); },
        WorkerOptions{.queues = {"q"}, .lease = 15s, .longest_sleep = 1h, .delivery = GetParam()});
  };
  const auto one = make();
  const auto two = make();
  one->start();
  two->start();
  test::wait_until([&] { return jobs_done() == 300; }, "the jobs");
  one->process().renewed.enable();
  EXPECT_TRUE(one->process().renewed.wait(Deadline::after(20s)));
  enqueue("'q', kind => 'late'");
  test::wait_until([&] { return tries >= 2; },
                   "a job that is enqueued while nobody listens, and its second attempt");
  EXPECT_EQ(count("pg_locks WHERE locktype = 'advisory'"), 0);
  EXPECT_EQ(count("weir.listener"), 0);
  EXPECT_EQ(count("pg_stat_activity WHERE query ILIKE '%LISTEN weir_%' AND pid <> pg_backend_pid()"), 0);
  one->stop();
  two->stop();
  expect_no_job_left();
  // A setting of one client's would be the next one's too.
  pg::Connector::Options plain;
  plain.session.prepare = false;
  const pg::Connector others(bouncer.conninfo(database()), plain);
  std::vector<pg::Session> sessions;
  for (int i = 0; i < 5; ++i) {
    sessions.push_back(others.connect(pg::Role::api, "test"));
    sessions.back().execute("BEGIN");
    EXPECT_EQ(sessions.back()
                  .execute("SELECT setting FROM pg_settings WHERE name = 'synchronous_commit'")[0]
                  .get<std::string>(0),
              text("SELECT setting FROM pg_settings WHERE name = 'synchronous_commit'"));
  }
}

}  // namespace
}  // namespace weir::queue
