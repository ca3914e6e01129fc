// Transactional mode: what looks like a fault of the server or the connection, and is that of a job's own
// SQL.

#include <atomic>
#include <memory>
#include <optional>

#include <gtest/gtest.h>

#include "pg/transaction.h"
#include "queue/admin.h"
#include "queue/job_source.h"
#include "queue/job_taker.h"
#include "support/queue_test.h"
#include "support/waiting.h"
#include "work/sql_handler.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class BlameTest : public test::QueueTest {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    session().execute_script("CREATE TABLE public.effect (n int); CREATE SEQUENCE public.tries");
  }

  /// {"n": 1} and so on, all of them good.
  void enqueue_good(int jobs) {
    enqueue_many("q", jobs);
    session().execute("UPDATE weir.queue SET backoff_ms = 1, backoff_cap_ms = 1");
  }
  /// Each job: `check` may do something to it, then its number is written.
  Worker::Stats work_off_sql(const std::string& check, std::size_t slots = 1) {
    const work::SqlOptions sql{
        .sql =
            "DO $$ DECLARE r record; BEGIN FOR r IN SELECT id, kind, payload->>'state' AS state, "
            "(payload->>'n')::int AS n FROM weir_job ORDER BY id LOOP " +
            check + " INSERT INTO public.effect VALUES (r.n); END LOOP; END $$"};
    Worker worker(shared_connector(), [&] { return std::make_unique<work::SqlHandler>(sql); },
                  {.queues = {"q"}, .slots = slots, .once = true, .delivery = Delivery::transactional});
    worker.start();
    EXPECT_TRUE(worker.wait_until_finished({}, Deadline::after(60s)));
    worker.stop();
    return worker.stats();
  }
  void expect_good_done(int jobs) {
    EXPECT_EQ(text("SELECT count(n) || ' ' || count(DISTINCT n) FROM public.effect"),
              std::to_string(jobs) + " " + std::to_string(jobs));
    EXPECT_EQ(count("weir.job"), 0);
    EXPECT_EQ(count("weir.job_later"), 0);
  }
};

constexpr const char* kRaise =
    "IF r.state IS NOT NULL THEN RAISE EXCEPTION 'as asked' USING ERRCODE = r.state; END IF;";

TEST_F(BlameTest, AnErrorOfTheServersClassesThatAJobRaisesUsesUpItsAttempts) {
  for (const std::string state : {"XX000", "08006", "57P01", "F0000"})
    enqueue("'q', '{\"state\": \"" + state + "\"}', max_attempts => 2");
  enqueue_good(10);
  work_off_sql(kRaise);
  expect_good_done(10);
  EXPECT_EQ(text("SELECT string_agg(substring(error FROM '\\((.{5})\\)$'), ' ' ORDER BY id) FROM "
                 "weir.job_dead WHERE attempt = 2"),
            "XX000 08006 57P01 F0000");
}

TEST_F(BlameTest, AJobThatIsAloneInItsQueueIsGivenUpToo) {
  enqueue("'q', '{\"state\": \"XX000\"}', max_attempts => 3");
  session().execute("UPDATE weir.queue SET backoff_ms = 1, backoff_cap_ms = 1");
  work_off_sql(kRaise);
  EXPECT_EQ(count("weir.job_dead WHERE attempt = 3 AND error LIKE '%as asked%'"), 1);
}

TEST_F(BlameTest, WhatDoesNotComeTwiceUsesUpNothing) {
  enqueue("'q', '{\"n\": 1}', max_attempts => 1");
  work_off_sql("IF nextval('public.tries') = 1 THEN RAISE 'once' USING ERRCODE = 'XX000'; END IF;");
  expect_good_done(1);
  EXPECT_EQ(count("weir.job_dead"), 0);
}

TEST_F(BlameTest, WhatComesWithoutAnyJobIsNobodysFault) {
  enqueue("'q', '{\"n\": 1}', max_attempts => 1");
  const work::SqlOptions sql{
      .sql =
          "DO $$ BEGIN IF nextval('public.tries') < 6 THEN RAISE 'of all' USING ERRCODE = '08006'; END IF; "
          "INSERT INTO public.effect SELECT (payload->>'n')::int FROM weir_job; END $$"};
  Worker worker(shared_connector(), [&] { return std::make_unique<work::SqlHandler>(sql); },
                {.queues = {"q"}, .slots = 1, .once = true, .delivery = Delivery::transactional});
  worker.start();
  EXPECT_TRUE(worker.wait_until_finished({}, Deadline::after(60s)));
  worker.stop();
  expect_good_done(1);
  EXPECT_EQ(worker.stats().failed, 0);
}

TEST_F(BlameTest, InAHandlerOfOursTheSameHolds) {
  std::atomic<int> calls{0};
  functions_["count"] = [](const JobContext& context) -> Outcome {
    context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                             pg::JsonView{context.job.payload});
    return Outcome::done();
  };
  functions_["bad"] = [&](const JobContext& context) -> Outcome {
    ++calls;
    context.session->execute("DO $$ BEGIN RAISE 'as asked' USING ERRCODE = 'XX000'; END $$");
    return Outcome::done();
  };
  enqueue("'q', '{}', 'bad', max_attempts => 2");
  enqueue_good(10);
  work_off({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  expect_good_done(10);
  EXPECT_EQ(count("weir.job_dead WHERE attempt = 2 AND error LIKE '%as asked%'"), 1);
  EXPECT_GE(calls, 4) << "twice in each attempt";
}

TEST_F(BlameTest, WhatAHandlerOfOursReadsWronglyIsItsJobsAndHoldsNobodyUp) {
  functions_["count"] = [](const JobContext& context) -> Outcome {
    context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                             pg::JsonView{context.job.payload});
    return Outcome::done();
  };
  functions_["null"] = [](const JobContext& context) -> Outcome {
    const pg::Result found = context.session->execute("SELECT max(n) FROM public.effect WHERE n < 0");
    return Outcome::done(std::to_string(found[0].get<std::int32_t>(0)));
  };
  functions_["zero"] = [](const JobContext& context) -> Outcome {
    context.session->execute(std::string("SELECT '\0'", 10));
    return Outcome::done();
  };
  enqueue("'q', '{}', 'null', max_attempts => 2");
  enqueue("'q', '{}', 'zero', max_attempts => 2");
  enqueue_good(10);
  work_off({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  expect_good_done(10);
  EXPECT_EQ(text("SELECT string_agg(kind, ' ' ORDER BY id) FROM weir.job_dead WHERE attempt = 2"),
            "null zero");
}

TEST_F(BlameTest, AHandlerOfOursThatGoesOnAfterAnErrorFailsItsOwnJobOnly) {
  functions_["count"] = [](const JobContext& context) -> Outcome {
    context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                             pg::JsonView{context.job.payload});
    return Outcome::done();
  };
  functions_["on"] = [](const JobContext& context) -> Outcome {
    try {
      context.session->execute("SELECT 1 / 0");
    } catch (const pg::Error&) {
      context.session->execute("INSERT INTO public.effect VALUES (-1)");  // 25P02
    }
    return Outcome::done();
  };
  enqueue("'q', '{}', 'on', max_attempts => 2");
  enqueue_good(10);
  work_off({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  expect_good_done(10);
  EXPECT_EQ(count("weir.job_dead WHERE attempt = 2 AND kind = 'on' AND error LIKE '%25P02%'"), 1);
}

constexpr const char* kEndItself =
    "IF r.kind = 'end' THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(20); END IF;";

TEST_F(BlameTest, AJobThatEndsItsServerProcessIsGivenUpAndHoldsNobodyUp) {
  for (const std::size_t slots : {std::size_t{1}, std::size_t{3}}) {
    session().execute("TRUNCATE public.effect, weir.job_dead");
    enqueue("'q', '{}', 'end', max_attempts => 2");
    enqueue_good(30);
    work_off_sql(kEndItself, slots);
    expect_good_done(30);
    EXPECT_EQ(count("weir.job_dead WHERE attempt = 2 AND error LIKE 'the session was lost%'"), 1) << slots;
    EXPECT_EQ(count("weir.job_dead"), 1) << slots;
  }
}

TEST_F(BlameTest, SessionsThatAreLostNowAndThenUseUpNoAttempt) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext& context) -> Outcome {
    EXPECT_EQ(context.job.attempt, 1);
    if (++calls < Suspects::kLosses)
      context.session->execute("SELECT pg_terminate_backend(pg_backend_pid())");
    context.session->execute("INSERT INTO public.effect VALUES (1)");
    return Outcome::done();
  };
  enqueue("'q', '{}', max_attempts => 1");
  work_off({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  expect_good_done(1);
  EXPECT_EQ(calls, Suspects::kLosses);
  EXPECT_EQ(count("weir.job_dead"), 0);
}

TEST_F(BlameTest, WhoDiedOfLostSessionsStartsFromNothingWhenReplayed) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext& context) -> Outcome {
    EXPECT_EQ(context.job.attempt, 1);
    if (++calls <= Suspects::kLosses + 1)
      context.session->execute("SELECT pg_terminate_backend(pg_backend_pid())");
    context.session->execute("INSERT INTO public.effect VALUES (1)");
    return Outcome::done();
  };
  const std::int64_t id = enqueue("'q', '{}', max_attempts => 1");
  const auto worker = this->worker({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  worker->start();
  test::wait_until([&] { return count("weir.job_dead") == 1; }, "the job to be given up", 60s);
  EXPECT_EQ(calls, Suspects::kLosses);
  pg::Session operators = session();
  EXPECT_EQ(replay_jobs(operators, std::vector<std::int64_t>{id}), 1);
  test::wait_until([&] { return count("public.effect") == 1; }, "the job to be done", 60s);
  worker->stop();
  EXPECT_EQ(calls, Suspects::kLosses + 2);
  EXPECT_EQ(count("weir.job_dead"), 0);
}

TEST_F(BlameTest, WhoDiedOfItsDeadlineStartsFromNothingWhenReplayedToo) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext& context) -> Outcome {
    EXPECT_EQ(context.job.attempt, 1) << "one loss after the replay is no proof";
    const int call = ++calls;
    if (call == Suspects::kLosses) {
      EXPECT_TRUE(context.job.deadline);
      test::wait_until([&] { return std::chrono::system_clock::now() > *context.job.deadline; },
                       "the deadline of the job", 60s);
    }
    if (call <= Suspects::kLosses + 1)
      context.session->execute("SELECT pg_terminate_backend(pg_backend_pid())");
    context.session->execute("INSERT INTO public.effect VALUES (1)");
    return Outcome::done();
  };
  const std::int64_t id =
      enqueue("'q', '{}', max_attempts => 5, deadline => clock_timestamp() + interval '4 s'");
  session().execute("UPDATE weir.queue SET backoff_ms = 1, backoff_cap_ms = 1");
  const auto worker = this->worker({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  worker->start();
  test::wait_until([&] { return count("weir.job_dead WHERE error LIKE 'the session was lost%'") == 1; },
                   "the job to be given up", 60s);
  EXPECT_EQ(calls, Suspects::kLosses);
  pg::Session operators = session();
  EXPECT_EQ(replay_jobs(operators, std::vector<std::int64_t>{id}), 1);
  test::wait_until([&] { return count("public.effect") == 1; }, "the job to be done", 60s);
  worker->stop();
  EXPECT_EQ(calls, Suspects::kLosses + 2);
}

TEST_F(BlameTest, ABatchWithASuspectInItIsHandedBackAndTakenOneByOne) {
  int begun = 0;  // in the transaction at hand
  functions_["suspect"] = [&](const JobContext& context) -> Outcome {
    ++begun;
    EXPECT_EQ(context.job.attempt, 1) << "to be handed back uses up nothing";
    return Outcome::done();
  };
  functions_["count"] = [&](const JobContext& context) -> Outcome {
    ++begun;
    EXPECT_EQ(context.job.attempt, 1);
    context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                             pg::JsonView{context.job.payload});
    return Outcome::done();
  };
  enqueue_good(8);
  const std::int64_t suspect = enqueue("'q', '{}', 'suspect', max_attempts => 1");
  pg::Session own = connector().connect(pg::Role::task, "test");
  JobSource source({"q"}, own);
  JobTaker taker(source, std::make_unique<Kinds>(functions_), 1000);
  taker.connected(own, 0);
  source.suspects().lost_with(suspect);
  const auto turn = [&] {
    begun = 0;
    pg::Transaction transaction(own);
    if (!taker.take_and_run(own, transaction, true, [] {}, {})) return false;
    transaction.commit();
    taker.committed(1ms);
    return true;
  };
  EXPECT_TRUE(turn());
  EXPECT_EQ(begun, 0);
  EXPECT_EQ(count("weir.job WHERE attempt = 0"), 9);
  EXPECT_EQ(source.suspects().of(suspect, 1), Suspects::Standing::suspect);
  for (int left = 8; left >= 0; --left) {
    EXPECT_TRUE(turn());
    EXPECT_EQ(begun, 1);
    EXPECT_EQ(count("weir.job"), left);
  }
  EXPECT_FALSE(source.suspects().any());
  EXPECT_FALSE(turn());
  expect_good_done(8);
  EXPECT_EQ(count("weir.job_dead"), 0);
}

TEST_F(BlameTest, NobodyPaysForAWorkerThatWasDeclaredDeadAndHungUpOn) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext& context) -> Outcome {
    if (++calls <= Suspects::kLosses) {
      session().execute("UPDATE weir.process SET dead = true");
      context.session->execute("SELECT pg_terminate_backend(pg_backend_pid())");
    }
    context.session->execute("INSERT INTO public.effect VALUES (1)");
    return Outcome::done();
  };
  enqueue("'q', '{}', max_attempts => 1");
  const auto worker = this->worker({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  worker->start();
  test::wait_until([&] { return count("public.effect") + count("weir.job_dead") == 1; }, "the end of the job",
                   60s);
  worker->stop();
  EXPECT_EQ(count("weir.job_dead"), 0);
}

TEST_F(BlameTest, AStatementThatEndsOurOwnSideOfTheSessionUsesUpAttemptsToo) {
  functions_["copy"] = [](const JobContext& context) -> Outcome {
    context.session->execute("COPY public.effect FROM STDIN");
    return Outcome::done();
  };
  functions_["count"] = [](const JobContext& context) -> Outcome {
    context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                             pg::JsonView{context.job.payload});
    return Outcome::done();
  };
  enqueue("'q', '{}', 'copy', max_attempts => 1");
  enqueue_good(10);
  work_off({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  expect_good_done(10);
  EXPECT_EQ(count("weir.job_dead WHERE kind = 'copy'"), 1);
}

TEST_F(BlameTest, AStatementThatOurOwnSideDidNotWaitForUsesUpAttemptsToo) {
  functions_["slow"] = [](const JobContext& context) -> Outcome {
    context.session->set_timeout(50ms);
    context.session->execute("SELECT pg_sleep(20)");
    return Outcome::done();
  };
  functions_["count"] = [](const JobContext& context) -> Outcome {
    context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                             pg::JsonView{context.job.payload});
    return Outcome::done();
  };
  enqueue("'q', '{}', 'slow', max_attempts => 1");
  enqueue_good(10);
  work_off({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional});
  expect_good_done(10);
  EXPECT_EQ(count("weir.job_dead WHERE kind = 'slow'"), 1);
}

TEST_F(BlameTest, AStatementOfAHandlerIsWaitedForAsLongAsTheWorkerSays) {
  std::optional<Duration> patience;
  functions_[""] = [&](const JobContext& context) -> Outcome {
    patience = context.session->options().timeout;
    context.session->execute("INSERT INTO public.effect VALUES (1)");
    return Outcome::done();
  };
  enqueue("'q', '{}'");
  work_off({.queues = {"q"}, .slots = 1, .delivery = Delivery::transactional, .patience = 90s});
  EXPECT_EQ(patience, Duration(90s));
}

}  // namespace
}  // namespace weir::queue
