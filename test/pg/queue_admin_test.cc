// What people ask of queues and jobs, on a real server.
#include <gtest/gtest.h>

#include "pg/transaction.h"
#include "queue/admin.h"
#include "queue/dead_letters.h"
#include "queue/figures.h"
#include "queue/intake.h"
#include "queue/job_view.h"
#include "queue/queue_counts.h"
#include "support/database.h"
#include "support/errors.h"

namespace weir::queue {
namespace {

class AdminTest : public test::SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    session_.emplace(connector().connect(pg::Role::api, "test"));
  }
  void TearDown() override {
    session_.reset();
    SchemaTest::TearDown();
  }

  std::int64_t enqueue(const std::string& arguments) {
    return session_->execute("SELECT weir.enqueue(" + arguments + ")")[0].get<std::int64_t>(0);
  }
  std::int64_t count(const std::string& from) {
    return session_->execute("SELECT count(*) FROM " + from)[0].get<std::int64_t>(0);
  }
  /// As if a worker had it.
  void claim_all() {
    session_->execute("INSERT INTO weir.process (name, lease_until) VALUES ('w', now() + interval '1 h')");
    session_->execute(
        "WITH t AS (DELETE FROM weir.job RETURNING *) INSERT INTO weir.job_claim (worker_id, number, "
        "queue_id, "
        "lane, jobs) SELECT 1, 1, queue_id, 0, array_agg(ROW(seq, coalesce(own_id, seq), created_at, NULL, "
        "priority, 1, max_attempts, kind, payload, unique_key, limit_key, error)::weir.claimed_job) FROM t "
        "GROUP BY queue_id");
  }
  void let_die() {
    session_->execute(
        "WITH t AS (DELETE FROM weir.job RETURNING *) INSERT INTO weir.job_dead (id, created_at, queue_id, "
        "lane, "
        "priority, attempt, max_attempts, kind, payload, error) SELECT coalesce(own_id, seq), created_at, "
        "queue_id, 0, priority, 3, max_attempts, kind, payload, 'why' FROM t");
  }

  std::optional<pg::Session> session_;
};

TEST_F(AdminTest, AJobIsFoundWhereverItIs) {
  const auto id = enqueue("'q', '{\"a\": 1}', 'k'");
  EXPECT_EQ(view_job(*session_, id)->state, "waiting");
  claim_all();
  const auto running = view_job(*session_, id);
  EXPECT_EQ(running->state, "running");
  EXPECT_EQ(running->attempt, 1);
  EXPECT_EQ(running->worker_name, "w");
  EXPECT_EQ(cancel_job(*session_, id), Cancelled::stopping);
  EXPECT_TRUE(view_job(*session_, id)->stopping);
  EXPECT_EQ(retry_job(*session_, id), Retried::running);

  const auto later = enqueue("'q', '1', delay => '1 h'");
  EXPECT_EQ(view_job(*session_, later)->state, "later");
  EXPECT_EQ(retry_job(*session_, later), Retried::at_once);
  let_die();
  const auto dead = view_job(*session_, later);
  EXPECT_EQ(dead->state, "dead");
  EXPECT_EQ(dead->error, "why");
  EXPECT_EQ(retry_job(*session_, later), Retried::replayed);
  EXPECT_EQ(view_job(*session_, later)->attempt, 0);
  EXPECT_EQ(retry_job(*session_, later), Retried::waiting);
  EXPECT_EQ(retry_job(*session_, 4711), Retried::missing);
}

TEST_F(AdminTest, ALargePayloadIsShownToo) {
  const auto id = enqueue(
      "'q', jsonb_build_object('x', (SELECT string_agg(md5(n::text), '') FROM "
      "generate_series(1, 3000) n))");
  ASSERT_EQ(count("weir.job_payload"), 1);
  EXPECT_GT(view_job(*session_, id)->payload->size(), 90'000U);
}

TEST_F(AdminTest, ACancelledJobIsHistoryWhereTheQueueKeepsIt) {
  const std::vector<std::string> words{"keep=1"};
  change_queue(*session_, "q", words);
  const auto id = enqueue("'q'");
  EXPECT_EQ(cancel_job(*session_, id), Cancelled::cancelled);
  EXPECT_EQ(view_job(*session_, id)->state, "cancelled");
  EXPECT_EQ(cancel_job(*session_, id), Cancelled::ended);
  EXPECT_EQ(retry_job(*session_, id), Retried::ended);
}

TEST_F(AdminTest, ReplayIsOfOneQueueInSteps) {
  session_->execute("SELECT count(*) FROM weir.enqueue_many('a', array_fill('1'::jsonb, ARRAY[2500]))");
  session_->execute("SELECT count(*) FROM weir.enqueue_many('b', array_fill('1'::jsonb, ARRAY[5]))");
  let_die();
  std::vector<std::int64_t> steps;
  const auto queue = find_queue(*session_, "a");
  EXPECT_EQ(replay_queue(*session_, queue, [&](std::int64_t so_far) { steps.push_back(so_far); }), 2500);
  EXPECT_EQ(steps, (std::vector<std::int64_t>{1000, 2000, 2500}));
  EXPECT_EQ(count("weir.job_dead"), 5);
  EXPECT_EQ(replay_queue(*session_, std::nullopt, [](std::int64_t) {}), 5);
}

TEST_F(AdminTest, DeadLettersAreDroppedByQueueKindAgeOrId) {
  enqueue("'a', to_jsonb(repeat('x', 20000)), 'large'");
  session_->execute("SELECT count(*) FROM weir.enqueue_many('a', array_fill('1'::jsonb, ARRAY[2500]))");
  session_->execute("SELECT count(*) FROM weir.enqueue_many('b', array_fill('1'::jsonb, ARRAY[5]))");
  let_die();
  session_->execute("UPDATE weir.job_dead SET died_at = now() - interval '2 d' WHERE kind = 'large'");
  const auto nothing = [](std::int64_t) {};
  EXPECT_EQ(count_dead(*session_, {}), 2506);
  EXPECT_EQ(count_dead(*session_, {.older_than = std::chrono::hours(72)}), 0);
  const DeadFilter old{.kind = "large", .older_than = std::chrono::hours(24)};
  EXPECT_EQ(count_dead(*session_, old), 1);
  EXPECT_EQ(count("weir.job_payload"), 1);
  EXPECT_EQ(drop_dead(*session_, old, nothing), 1);
  EXPECT_EQ(count("weir.job_payload"), 0);
  std::vector<std::int64_t> steps;
  EXPECT_EQ(drop_dead(*session_, {.queue = find_queue(*session_, "a")},
                      [&](std::int64_t so_far) { steps.push_back(so_far); }),
            2500);
  EXPECT_EQ(steps, (std::vector<std::int64_t>{1000, 2000, 2500}));
  const auto id = session_->execute("SELECT min(id) FROM weir.job_dead")[0].get<std::int64_t>(0);
  EXPECT_EQ(drop_dead(*session_, {.jobs = {id, 4711}}, nothing), 1);
  EXPECT_EQ(count("weir.job_dead"), 4);
  EXPECT_GE(queue_figures(*session_, {"b"}).at(0).oldest_dead.value_or(-std::chrono::hours(1)),
            Duration::zero());
  EXPECT_FALSE(queue_figures(*session_, {"a"}).at(0).oldest_dead);
}

TEST_F(AdminTest, FiguresAreCountedToALimitAndNotFurther) {
  session_->execute("SELECT count(*) FROM weir.enqueue_many('big', array_fill('1'::jsonb, ARRAY[10001]))");
  session_->execute("SELECT count(*) FROM weir.enqueue_many('full', array_fill('1'::jsonb, ARRAY[10000]))");
  enqueue("'big', '1', delay => '1 h'");
  enqueue("'small', '1', priority => 5");
  session_->execute("UPDATE weir.job SET created_at = now() - interval '1 h' WHERE priority = 5");
  enqueue("'small', '1'");
  session_->execute(
      "INSERT INTO weir.queue_stats (queue_id, process_id, done, failed, done_rate, updated_at) SELECT id, "
      "1, 7, 2, "
      "3.5, clock_timestamp() FROM weir.queue WHERE name = 'small' UNION ALL SELECT id, 2, 1, 0, 100, "
      "clock_timestamp() - interval '1 h' FROM weir.queue WHERE name = 'small'");
  const auto all = queue_figures(*session_);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].waiting.text(), ">10,000");
  EXPECT_EQ(all[0].later.text(), "1");
  EXPECT_EQ(all[1].waiting.text(), "10,000");
  EXPECT_EQ(all[2].waiting.text(), "2");
  EXPECT_EQ(all[2].done, 8);
  EXPECT_EQ(all[2].failed, 2);
  EXPECT_EQ(all[2].done_rate, 3.5) << "an old rate is none";
  EXPECT_GT(all[2].oldest.value(), std::chrono::minutes(59)) << "of any priority";
  EXPECT_EQ(queue_figures(*session_, {"small"}).size(), 1U);
}

TEST_F(AdminTest, ReportsTellTheRateSinceTheOneBefore) {
  const auto queue = session_->execute("SELECT weir.queue_id('q')")[0].get<std::int32_t>(0);
  QueueCounts counts;
  counts.add(queue, {.done = 10});
  counts.report(*session_, 1);
  // After a pause the rate is that of the last five seconds.
  session_->execute("UPDATE weir.queue_stats SET updated_at = clock_timestamp() - interval '1 h'");
  counts.add(queue, {.done = 100, .failed = 20});
  counts.report(*session_, 1);
  const auto figures = queue_figures(*session_).front();
  EXPECT_EQ(figures.done, 110);
  EXPECT_EQ(figures.done_rate, 20);
  EXPECT_EQ(figures.failed_rate, 4);
}

TEST_F(AdminTest, TimesOfAllProcessesAreAddedUp) {
  const auto queue = session_->execute("SELECT weir.queue_id('q')")[0].get<std::int32_t>(0);
  EXPECT_FALSE(queue_figures(*session_).front().wait.has_value());
  const auto report = [&](std::int64_t process, Duration wait, Duration run, int jobs) {
    QueueCounts::Times times;
    for (int i = 0; i < jobs; ++i) {
      times.waits.add(wait);
      times.runs.add(run);
    }
    QueueCounts counts;
    counts.add(queue, {.done = jobs}, times);
    counts.report(*session_, process);
  };
  report(1, std::chrono::milliseconds(4), std::chrono::seconds(7), 98);
  report(2, std::chrono::hours(2), std::chrono::microseconds(3), 2);
  const auto figures = queue_figures(*session_).front();
  EXPECT_EQ(figures.wait.value().p50, std::chrono::microseconds(4096)) << "the end of its step";
  EXPECT_GE(figures.wait.value().p99, std::chrono::hours(2));
  EXPECT_LE(figures.wait.value().p99, std::chrono::minutes(150));
  EXPECT_GE(figures.run.value().p50, std::chrono::seconds(7));
  EXPECT_LE(figures.run.value().p99, std::chrono::milliseconds(8750));
}

TEST_F(AdminTest, AQueueIsChangedAsAWholeOrNotAtAll) {
  const std::vector<std::string> good{"backoff=2s", "max_per_key=1"};
  EXPECT_EQ(change_queue(*session_, "q", good).max_per_key, 1);
  const std::vector<std::string> bad{"max_per_key=2", "backoff_cap=500ms"};
  EXPECT_EQ(test::error_of([&] { change_queue(*session_, "q", bad); }).exit_code(), ExitCode::usage);
  EXPECT_EQ(test::error_of([&] { change_queue(*session_, "new", bad); }).exit_code(), ExitCode::usage);
  const auto all = read_queues(*session_);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].max_per_key, 1);
  EXPECT_EQ(all[0].backoff, std::chrono::seconds(2));
  EXPECT_EQ(test::error_of([&] { pause_queues(*session_, {"q", "no"}, true); }).exit_code(), ExitCode::usage);
  EXPECT_FALSE(read_queues(*session_)[0].paused) << "all or none";
  pause_queues(*session_, {"q"}, true);
  EXPECT_TRUE(read_queues(*session_, {"q"})[0].paused);
}

TEST_F(AdminTest, AnIntakeThatIsGivenUpLeavesWhatWasCommitted) {
  {
    Intake intake(*session_, {.queue = "q", .limit_key = "k"}, 10);
    for (int i = 1; i <= 25; ++i) intake.add(i, "1");
    EXPECT_EQ(intake.kept(), "the 20 before were enqueued, up to line 20");
  }
  EXPECT_EQ(count("weir.job WHERE limit_key = 'k'"), 20);
  EXPECT_FALSE(session_->in_transaction());
  // What only the server refuses.
  session_->execute("ALTER TABLE weir.job ADD CONSTRAINT unlucky CHECK (payload <> '13')");
  {
    Intake refused(*session_, {.queue = "r"}, std::nullopt);
    refused.add(1, "1");
    refused.add(2, "13");
    EXPECT_TRUE(test::has(test::error_of([&] { refused.finish(); }).what(), "lines 1 to 2 were refused: "));
  }
  EXPECT_EQ(count("weir.job"), 20);
}

}  // namespace
}  // namespace weir::queue
