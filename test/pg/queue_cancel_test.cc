// Requests to stop a job, against jobs that move while they are made.

#include <gtest/gtest.h>

#include "base/test_signal.h"
#include "queue/admin.h"
#include "queue/claim_marks.h"
#include "queue/job_source.h"
#include "queue/job_view.h"
#include "schema/queries/jobs.h"
#include "schema/queries/work.h"
#include "support/actions.h"
#include "support/queue_test.h"
#include "support/waiting.h"
#include "work/process.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;

class CancelTest : public test::QueueTest {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    one_.emplace(session());
    const auto answer = one_->run<sql::RegisterProcess>("test", std::int64_t{3'600'000});
    process_ = answer.one().id;
  }
  void TearDown() override {
    one_.reset();
    QueueTest::TearDown();
  }

  void claim(std::int64_t number, std::int64_t most = 10) {
    constexpr ClaimMarks::Range all = ClaimMarks::whole();
    one_->run<sql::ClaimJobs>(process_, number, std::int16_t{0}, 1, all.priority, all.above,
                              all.last_priority, most);
  }
  /// How many were accepted.
  int settle(std::int64_t number, std::int64_t seq, std::string_view action) {
    const std::vector seqs{seq};
    const std::vector actions{action};
    const std::vector<std::int64_t> delays{3'600'000};
    const std::vector<std::optional<std::string_view>> texts{std::nullopt};
    return one_->run<sql::SettleJobs>(process_, number, seqs, actions, delays, texts).size();
  }
  std::string cancel(std::int64_t id) { return text("SELECT weir.cancel_job(" + std::to_string(id) + ")"); }

  /// What a cancellation answers that begins while `move` is done and not committed yet.
  template <class Move>
  std::string cancel_during(std::int64_t id, Move move) {
    one_->execute("BEGIN");
    move();
    std::string answer;
    TestSignal<int> began;
    began.enable();
    std::jthread canceller = test::in_background([&] {
      pg::Session other = session();
      began.emit(other.backend_pid());
      answer = other.execute("SELECT weir.cancel_job($1)", id)[0].get<std::string>(0);
    });
    test::wait_until_blocked(connector(), began.wait(Deadline::after(20s)).value());
    one_->execute("COMMIT");
    canceller.join();
    return answer;
  }

  std::optional<pg::Session> one_;
  std::int64_t process_ = 0;
};

TEST_F(CancelTest, AJobThatIsHandedBackMeanwhileIsFound) {
  const auto id = enqueue("'q'");
  claim(1);
  EXPECT_EQ(cancel_during(id, [&] { EXPECT_EQ(settle(1, id, "back"), 1); }), "cancelled");
  EXPECT_EQ(count("weir.job"), 0);
  EXPECT_EQ(count("weir.job_cancel"), 0);
}

TEST_F(CancelTest, AJobInATransactionOfAWorkerIsSaidToBeThere) {
  const auto id = enqueue("'q'");
  pg::Session worker = session();
  worker.execute("BEGIN");
  worker.execute("DELETE FROM weir.job");
  EXPECT_EQ(cancel_job(*one_, id), Cancelled::in_transaction);
  const auto seen = view_job(*one_, id);
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->state, "running");
  EXPECT_EQ(one_->execute("SHOW lock_timeout")[0].get<std::string>(0), "0");
  worker.execute("ROLLBACK");
  EXPECT_EQ(view_job(*one_, id)->state, "waiting");
  EXPECT_EQ(cancel_job(*one_, id), Cancelled::cancelled);
}

TEST_F(CancelTest, WhoWaitsForNoLockForLongDoesNotDoSoHere) {
  const auto id = enqueue("'q'");
  pg::Session admin = session();
  admin.execute("BEGIN");
  admin.execute("SELECT FROM weir.job FOR UPDATE");
  one_->execute("SET lock_timeout = '100ms'");
  const SteadyTime begin = steady_now();
  EXPECT_EQ(cancel_job(*one_, id), Cancelled::in_transaction);
  EXPECT_LT(steady_now() - begin, 2s) << "what is waited where nothing less is set";
  EXPECT_EQ(one_->execute("SHOW lock_timeout")[0].get<std::string>(0), "100ms");
  one_->execute("SET lock_timeout = '1h'");
  EXPECT_EQ(cancel_job(*one_, id), Cancelled::in_transaction);
  admin.execute("ROLLBACK");
  EXPECT_EQ(cancel_job(*one_, id), Cancelled::cancelled);
  EXPECT_EQ(one_->execute("SHOW lock_timeout")[0].get<std::string>(0), "1h");
}

TEST_F(CancelTest, AJobThatFailsMeanwhileIsFound) {
  const auto id = enqueue("'q'");
  claim(1);
  EXPECT_EQ(cancel_during(id, [&] { EXPECT_EQ(settle(1, id, "later"), 1); }), "cancelled");
  EXPECT_EQ(count("weir.job_later"), 0);
}

TEST_F(CancelTest, AJobThatComesDueMeanwhileIsFound) {
  const auto id = enqueue("'q', delay => '1 hour'");
  one_->execute("UPDATE weir.job_later SET run_at = now() - interval '1 s'");
  EXPECT_EQ(cancel_during(id,
                          [&] {
                            const auto answer = one_->run<sql::PromoteJobs>(10);
                            EXPECT_EQ(answer.one().promoted, 1);
                          }),
            "cancelled");
  EXPECT_EQ(count("weir.job"), 0);
}

TEST_F(CancelTest, AJobThatEndsMeanwhileIsMissingAndLeavesNoRequest) {
  const auto id = enqueue("'q'");
  claim(1);
  EXPECT_EQ(cancel_during(id,
                          [&] {
                            const std::vector<std::int64_t> claims{1};
                            one_->run<sql::FinishClaims>(process_, claims);
                          }),
            "missing");
  EXPECT_EQ(count("weir.job_cancel"), 0);
}

TEST_F(CancelTest, WhoHasNotHeardOfTheRequestIsOverruled) {
  const auto id = enqueue("'q', unique_key => 'k'");
  claim(1);
  EXPECT_EQ(cancel(id), "stopping");
  EXPECT_EQ(settle(1, id, "later"), 1);
  EXPECT_EQ(count("weir.job_later"), 0);
  EXPECT_EQ(count("weir.job_cancel"), 0);
  EXPECT_EQ(count("weir.job_unique"), 0);

  const auto done = enqueue("'q'");
  claim(2);
  EXPECT_EQ(cancel(done), "stopping");
  one_->execute("UPDATE weir.queue SET keep_days = 1");
  EXPECT_EQ(settle(2, done, "done"), 1);
  EXPECT_EQ(text("SELECT cancelled::text FROM weir.job_done"), "false") << "what was done was done";
}

TEST_F(CancelTest, ARequestStaysUntilItsJobHasEndedAndNoLonger) {
  const auto runs = enqueue("'q'");
  claim(1, 1);
  const auto done = enqueue("'q'");
  claim(2, 1);
  EXPECT_EQ(cancel(runs), "stopping");
  EXPECT_EQ(cancel(done), "stopping");
  EXPECT_EQ(one_->run<sql::CancelRequests>(process_).size(), 2);
  const std::vector<std::int64_t> claims{2};
  EXPECT_EQ(one_->run<sql::FinishClaims>(process_, claims).size(), 1);
  one_->run<sql::ForgetLateCancels>();
  const auto left = one_->run<sql::CancelRequests>(process_);
  ASSERT_EQ(left.size(), 1);
  EXPECT_EQ(left[0].job_id, runs);
}

TEST_F(CancelTest, WhereNobodyWorkedForLongHistoryIsMadeFirst) {
  const auto id = enqueue("'q', '{\"a\": 1}'");
  one_->execute("UPDATE weir.queue SET keep_days = 1");
  one_->execute_script(
      "DO $$ DECLARE p text; BEGIN FOR p IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = "
      "'weir.job_done'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$");
  EXPECT_EQ(cancel(id), "cancelled");
  EXPECT_EQ(count("weir.job_done WHERE cancelled AND payload = '{\"a\": 1}'"), 1);
}

class KeepTest : public CancelTest {};

TEST_F(KeepTest, AJobThatIsNeverDueHoldsNobodyUp) {
  for (const char* at : {"infinity", "9999-12-31", "2400-01-01"}) {
    one_->execute("TRUNCATE weir.job_later");
    enqueue(std::string("'q', run_at => '") + at + "'");
    enqueue("'q', delay => '1 hour'");
    one_->execute("UPDATE weir.job_later SET run_at = now() - interval '1 s' WHERE run_at < '2300-01-01'");
    JobSource source({"q"}, *one_);
    const Duration next = source.keep(*one_, work::Life(process_));
    EXPECT_EQ(count("weir.job_later"), 1) << at;
    EXPECT_GT(next, std::chrono::seconds(1)) << at;
  }
  EXPECT_EQ(count("weir.job"), 3);
}

TEST_F(KeepTest, HistoryThatNobodyKeepsIsForgottenHoweverMuchThereIs) {
  enqueue("'q'");
  one_->execute(
      "INSERT INTO weir.job_done (id, finished_at, started_at, created_at, queue_id, attempt, cancelled, "
      "kind) SELECT n, now() - interval '1 h', now(), now(), 1, 1, false, '' FROM generate_series(1, 25000) "
      "n");
  JobSource source({"q"}, *one_);
  const work::Life life(process_);
  for (int round = 0; round < 3; ++round) source.keep(*one_, life);
  EXPECT_EQ(count("weir.job_done"), 0);
}

TEST_F(KeepTest, DeadLettersAreKeptForAsLongAsTheirQueueSays) {
  for (const char* queue : {"forever", "days"}) enqueue("'" + std::string(queue) + "'");
  one_->execute("UPDATE weir.queue SET keep_dead_days = 30 WHERE name = 'days'");
  // Of each queue 2500 that died 31 days ago and 10 that died 29 days ago; some payloads are kept apart.
  one_->execute(
      "INSERT INTO weir.job_dead (id, died_at, created_at, queue_id, lane, priority, attempt, max_attempts, "
      "kind, payload, error) SELECT q.id * 10000 + n, now() - CASE WHEN n <= 2500 THEN interval '31 d' ELSE "
      "interval '29 d' END, now(), q.id, 0, 0, 1, 1, '', CASE WHEN n % 100 > 0 THEN '{}'::jsonb END, '' FROM "
      "weir.queue q, generate_series(1, 2510) n");
  one_->execute(
      "INSERT INTO weir.job_payload (id, payload) SELECT d.id, '{}' FROM weir.job_dead d WHERE payload IS "
      "NULL");
  // Somebody has one of them at hand: nobody waits for him.
  pg::Session other = session();
  other.execute("BEGIN");
  other.execute(
      "SELECT FROM weir.job_dead d JOIN weir.queue q ON q.id = d.queue_id WHERE q.name = 'days' ORDER BY "
      "d.died_at, d.id LIMIT 1 FOR UPDATE OF d");
  JobSource source({"days"}, *one_);
  const work::Life life(process_);
  for (int round = 0; round < 3; ++round) source.keep(*one_, life);
  const std::string of = "weir.job_dead d JOIN weir.queue q ON q.id = d.queue_id WHERE q.name = ";
  EXPECT_EQ(count(of + "'forever'"), 2510);
  EXPECT_EQ(count(of + "'days'"), 11);
  EXPECT_EQ(count("weir.job_payload p WHERE NOT EXISTS (SELECT FROM weir.job_dead d WHERE d.id = p.id)"), 0);
  EXPECT_EQ(count("weir.job_dead d WHERE d.payload IS NULL AND NOT EXISTS (SELECT FROM weir.job_payload p "
                  "WHERE p.id = d.id)"),
            0);
}

}  // namespace
}  // namespace weir::queue
