// Transactional mode: a queue's timeout ends an attempt, whatever the handler does, and nothing else.

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "support/queue_test.h"
#include "support/waiting.h"
#include "work/run_watch.h"
#include "work/sql_handler.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

constexpr auto kLong = 60s;

class QueueTimeoutTest : public test::QueueTest {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    session().execute_script("CREATE TABLE public.effect (n int)");
    functions_["count"] = [](const JobContext& context) -> Outcome {
      context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                               pg::JsonView{context.job.payload});
      return Outcome::done();
    };
  }

  /// Of the queue that was enqueued to. Attempts are many and quick: on a busy machine any job may be late.
  void allow(std::chrono::milliseconds timeout) {
    session().execute("UPDATE weir.queue SET timeout_ms = " + std::to_string(timeout.count()) +
                      ", backoff_ms = 1, backoff_cap_ms = 1");
  }
  void work_off_sql(const std::string& check, std::optional<Duration> own_timeout = std::nullopt) {
    const work::SqlOptions sql{
        .sql =
            "DO $$ DECLARE r record; BEGIN FOR r IN SELECT kind, (payload->>'n')::int AS n FROM weir_job "
            "ORDER BY id LOOP " +
            check + " INSERT INTO public.effect VALUES (r.n); END LOOP; END $$",
        .timeout = own_timeout};
    Worker worker(shared_connector(), [&] { return std::make_unique<work::SqlHandler>(sql); },
                  {.queues = {"q"}, .slots = 1, .once = true, .delivery = Delivery::transactional});
    worker.start();
    EXPECT_TRUE(worker.wait_until_finished({}, Deadline::after(kLong)));
    worker.stop();
  }
  void work_off_transactions(std::size_t slots = 1, std::size_t most_in_batch = 1000) {
    work_off({.queues = {"q"},
              .slots = slots,
              .most_in_batch = most_in_batch,
              .delivery = Delivery::transactional});
  }
  void expect_good_done(int jobs) {
    EXPECT_EQ(text("SELECT count(n) || ' ' || count(DISTINCT n) FROM public.effect"),
              std::to_string(jobs) + " " + std::to_string(jobs));
    EXPECT_EQ(count("weir.job"), 0);
    EXPECT_EQ(count("weir.job_later"), 0);
  }
  std::int64_t dead_of_it() {
    return count("weir.job_dead WHERE error LIKE '" + std::string(work::kRanOver) + "%'");
  }
};

constexpr const char* kSleep = "IF r.kind = 'slow' THEN PERFORM pg_sleep(60); END IF;";

TEST_F(QueueTimeoutTest, SqlThatTakesTooLongFailsTheJobThatIsToBlame) {
  enqueue("'q', '{}', 'slow', max_attempts => 2");
  enqueue_many("q", 10);
  allow(500ms);
  work_off_sql(kSleep, 10min);
  expect_good_done(10);
  EXPECT_EQ(dead_of_it(), 1);
  EXPECT_EQ(count("weir.job_dead WHERE kind = 'slow' AND attempt = 2"), 1);
}

TEST_F(QueueTimeoutTest, TheShorterTimeoutOfAWorkersOwnHolds) {
  enqueue("'q', '{}', 'slow', max_attempts => 1");
  allow(1h);
  work_off_sql(kSleep, 300ms);
  EXPECT_EQ(dead_of_it(), 0);
  EXPECT_EQ(count("weir.job_dead WHERE error LIKE '%57014%'"), 1);
}

TEST_F(QueueTimeoutTest, WhatCommitWouldHaveDoneIsCountedToo) {
  session().execute_script(
      "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS "
      "$$ BEGIN IF NEW.n = 0 THEN PERFORM pg_sleep(60); END IF; RETURN NULL; END $$;"
      "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON public.effect DEFERRABLE INITIALLY DEFERRED "
      "FOR EACH ROW EXECUTE FUNCTION public.dawdle()");
  for (const bool in_sql : {true, false}) {
    session().execute("TRUNCATE public.effect, weir.job_dead");
    enqueue("'q', '{\"n\": 0}', 'count', max_attempts => 1");
    enqueue_many("q", 10);
    allow(500ms);
    if (in_sql) {
      work_off_sql("");
    } else {
      work_off_transactions();
    }
    expect_good_done(10);
    EXPECT_EQ(dead_of_it(), 1) << in_sql;
  }
}

TEST_F(QueueTimeoutTest, AStatementOfAHandlerIsCancelledAndItsJobPays) {
  std::atomic<int> stops{0};
  functions_["slow"] = [&](const JobContext& context) -> Outcome {
    const std::stop_callback count_stop(context.stop, [&] { ++stops; });
    context.session->execute("INSERT INTO public.effect VALUES (-1)");
    context.session->execute("SELECT pg_sleep(60)");
    return Outcome::done();
  };
  enqueue("'q', '{}', 'slow', max_attempts => 2");
  enqueue_many("q", 10);
  allow(500ms);
  work_off_transactions();
  expect_good_done(10);
  EXPECT_EQ(dead_of_it(), 1);
  EXPECT_EQ(count("weir.job_dead WHERE kind = 'slow' AND attempt = 2"), 1);
  EXPECT_GE(stops, 2) << "it is asked first";
}

TEST_F(QueueTimeoutTest, AHandlerThatHidesTheCancelFailsAllTheSame) {
  functions_["slow"] = [&](const JobContext& context) -> Outcome {
    try {
      context.session->execute("SELECT pg_sleep(60)");
    } catch (const pg::Error&) {
      if (context.job.attempt == 2) throw std::runtime_error("words of its own");
    }
    return Outcome::done();
  };
  enqueue("'q', '{}', 'slow', max_attempts => 2");
  enqueue_many("q", 10);
  allow(500ms);
  work_off_transactions();
  expect_good_done(10);
  EXPECT_EQ(dead_of_it(), 1);
}

TEST_F(QueueTimeoutTest, WhatAHandlerReturnsThatHeedsItsStopCounts) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext& context) -> Outcome {
    ++calls;
    context.session->execute("INSERT INTO public.effect VALUES (1)");
    std::promise<void> asked;
    const std::stop_callback tell(context.stop, [&] { asked.set_value(); });
    EXPECT_EQ(asked.get_future().wait_for(kLong), std::future_status::ready);
    return Outcome::done();
  };
  enqueue("'q', '{}'");
  allow(1s);
  work_off_transactions();
  expect_good_done(1);
  EXPECT_EQ(calls, 1);
}

TEST_F(QueueTimeoutTest, AHandlerThatGoesOnAndOnLosesItsSessionAndItsJobPays) {
  std::atomic<int> calls{0};
  functions_["stubborn"] = [&](const JobContext& context) -> Outcome {
    ++calls;
    for (;;) {
      try {
        context.session->execute("SAVEPOINT mine");
        context.session->execute("SELECT pg_sleep(60)");
      } catch (const pg::Error&) {
        if (!context.session->is_open()) throw;
      }
      try {
        context.session->execute("ROLLBACK TO SAVEPOINT mine");
      } catch (const pg::Error&) {
        if (!context.session->is_open()) return Outcome::done();
      }
    }
  };
  enqueue("'q', '{}', 'stubborn', max_attempts => 2");
  allow(300ms);
  work_off_transactions();
  EXPECT_EQ(calls, 2) << "each attempt is begun once, and written in another transaction";
  EXPECT_EQ(dead_of_it(), 1);
  enqueue("'q', '{}', 'stubborn', max_attempts => 1");
  enqueue_many("q", 10);
  work_off_transactions();
  expect_good_done(10);
  EXPECT_EQ(dead_of_it(), 2) << "among others, too";
}

TEST_F(QueueTimeoutTest, AHandlerThatNeitherHeedsNorAsksCannotHoldItsTransaction) {
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext& context) -> Outcome {
    ++calls;
    context.session->execute("INSERT INTO public.effect VALUES (1)");
    released.wait();
    return Outcome::done();
  };
  enqueue("'q', '{}', max_attempts => 1");
  allow(300ms);
  const auto worker = this->worker({.queues = {"q"}, .slots = 2, .delivery = Delivery::transactional});
  worker->start();
  // By another slot: the handler has not come back.
  test::wait_until([&] { return dead_of_it() == 1; }, "the job to be given up", kLong);
  release.set_value();
  worker->stop();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(count("public.effect"), 0);
}

TEST_F(QueueTimeoutTest, ACancelThatComesLateHitsNothingElse) {
  // Each of the first attempts ends just when it is cancelled. Whichever comes first, the job is done once.
  constexpr int kJobs = 60;
  std::atomic<int> turn{0};
  std::atomic<int> strays{0};
  functions_["count"] = [&](const JobContext& context) -> Outcome {
    const SteadyTime began = steady_now();
    try {
      context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                               pg::JsonView{context.job.payload});
    } catch (const pg::Error& error) {
      if (error.sqlstate() == "57014" && steady_now() - began < 40ms) ++strays;
      throw;
    }
    if (context.job.attempt <= 3)
      context.session->execute("SELECT pg_sleep(" + std::to_string(50 + ++turn % 11 - 5) + " / 1000.0)");
    return Outcome::done();
  };
  enqueue_many("q", kJobs);
  allow(50ms);
  session().execute("UPDATE weir.job SET max_attempts = 1000");
  work_off_transactions(2, 1);
  expect_good_done(kJobs);
  EXPECT_EQ(count("weir.job_dead"), 0);
  EXPECT_EQ(strays, 0) << "a statement at the beginning of a run was cancelled";
}

TEST_F(QueueTimeoutTest, WithoutOneNothingIsWatched) {
  const auto idle_limit = [](pg::Session& session) {
    return session.execute("SELECT current_setting('idle_in_transaction_session_timeout')")[0]
        .get<std::string>(0);
  };
  pg::Session other = session();
  const std::string of_server = idle_limit(other);
  functions_[""] = [&](const JobContext& context) -> Outcome {
    EXPECT_EQ(idle_limit(*context.session), of_server);
    EXPECT_FALSE(context.stop.stop_requested());
    return Outcome::done();
  };
  enqueue("'q', '{}'");
  work_off_transactions();
  EXPECT_EQ(count("weir.job") + count("weir.job_dead"), 0);
}

}  // namespace
}  // namespace weir::queue
