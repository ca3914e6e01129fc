// Workers and queues that change while they work: lives that end, limits and queues that come, constraints
// that only the end of a transaction would check.

#include <atomic>
#include <fstream>
#include <sstream>

#include <fcntl.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "base/log.h"
#include "support/processes.h"
#include "support/queue_test.h"
#include "support/waiting.h"
#include "work/sql_handler.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using work::Outcome;

class LifeTest : public test::QueueTest {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    session().execute("SELECT weir.queue_id('q')");
    session().execute("UPDATE weir.queue SET backoff_ms = 1, backoff_cap_ms = 1, max_attempts = 2");
    functions_[""] = [&](const JobContext&) {
      ++calls_;
      return Outcome::done();
    };
  }
  std::atomic<int> calls_{0};
};

TEST_F(LifeTest, ATransactionalSlotIsFoundByItsProcess) {
  functions_[""] = [&](const JobContext& context) {
    const auto name = context.session->execute("SELECT pg_catalog.current_setting('application_name')");
    EXPECT_EQ(name[0].get<std::string>(0), "weir:task:p" + text("SELECT id::text FROM weir.process"));
    ++calls_;
    return Outcome::done();
  };
  enqueue("'q'");
  work_off({.queues = {"q"}, .delivery = Delivery::transactional});
  EXPECT_EQ(calls_, 1);
}

TEST_F(LifeTest, AFrozenProcessIsHungUpForAlsoWhenWhoDeclaredItDeadHasDied) {
  enqueue("'q'");
  pg::Session frozen = connector().connect(pg::Role::task, "p4711");
  session().execute(
      "INSERT INTO weir.process (id, name, lease_until, dead) OVERRIDING SYSTEM VALUE VALUES (4711, "
      "'frozen', "
      "now(), true)");
  frozen.execute("BEGIN");
  frozen.execute("DELETE FROM weir.job");
  const auto worker = this->worker({.queues = {"q"}, .longest_sleep = 1h});
  worker->start();
  test::wait_until([&] { return calls_ == 1; }, "the job");
  worker->stop();
  EXPECT_THROW(frozen.execute("COMMIT"), pg::ConnectionLost);
}

TEST_F(LifeTest, WhoDrainsIsNotWoken) {
  std::atomic<bool> go_on{false};
  functions_[""] = [&](const JobContext&) {
    ++calls_;
    test::wait_until([&] { return go_on.load(); }, "the end of the test", 1min);
    return Outcome::done();
  };
  enqueue("'q'");
  const auto worker = this->worker({.queues = {"q"}, .slots = 2, .longest_sleep = 1h});
  worker->asleep().enable();
  worker->start();
  test::wait_until([&] { return calls_ == 1; }, "the job");
  ASSERT_TRUE(worker->asleep().wait(Deadline::after(20s)));
  std::jthread stopping([&] { worker->stop(); });
  const auto nobody_sleeps = [&] { return text("SELECT weir.wake_queue(id)::text FROM weir.queue") == "0"; };
  EXPECT_NO_THROW(test::wait_until(nobody_sleeps, "nobody to be taken for a sleeper"));
  go_on = true;
}

TEST_F(LifeTest, WhatALostLifeDidIsCountedOnceAndNothingOfItRuns) {
  Wakeup begun;
  functions_["blocks"] = [&](const JobContext& context) {
    begun.notify();
    Wakeup unused;
    if (context.job.attempt == 1) wait_fd(-1, 0, Deadline::after(20s), context.stop, unused);
    return Outcome::done();
  };
  enqueue_many("q", 0);
  for (int i = 0; i < 5; ++i) enqueue("'q'");
  const auto worker = this->worker({.queues = {"q"}, .lease = 9s, .longest_sleep = 1h});
  worker->start();
  test::wait_until([&] { return text("SELECT coalesce(sum(done), 0)::text FROM weir.queue_stats") == "5"; },
                   "a report");
  enqueue("'q', kind => 'blocks'");
  test::wait_until(
      [&] { return text("SELECT coalesce(sum(running), 0)::text FROM weir.queue_stats") == "1"; },
      "a report");
  session().execute("UPDATE weir.process SET dead = true");
  test::wait_until([&] { return worker->stats().done == 6; }, "the job, in the next life");
  for (int i = 0; i < 5; ++i) enqueue("'q'");
  test::wait_until([&] { return calls_ == 10; }, "the rest");
  worker->stop();
  EXPECT_EQ(text("SELECT coalesce(sum(done), 0)::text FROM weir.queue_stats"), "11");
  EXPECT_EQ(text("SELECT running::text FROM weir.queue_stats ORDER BY process_id DESC LIMIT 1"), "0");
}

TEST_F(LifeTest, ADeferredConstraintFailsItsJobAlone) {
  session().execute("CREATE TABLE public.effect (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
  functions_["count"] = [&](const JobContext& context) {
    const pg::JsonView payload{context.job.payload};
    // Each is there twice for a moment, which the constraint allows.
    for (int i = 0; i < 2; ++i)
      context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int", payload);
    context.session->execute(
        "DELETE FROM public.effect WHERE n <> 13 AND ctid = (SELECT max(ctid) FROM public.effect WHERE n = "
        "($1::jsonb->>'n')::int)",
        payload);
    return Outcome::done();
  };
  enqueue_many("q", 40);
  session().execute("UPDATE weir.job SET max_attempts = 2");
  work_off({.queues = {"q"}, .delivery = Delivery::transactional});
  EXPECT_EQ(text("SELECT count(*) || ' ' || count(DISTINCT n) FROM public.effect"), "39 39");
  EXPECT_EQ(text("SELECT payload->>'n' || ' ' || attempt FROM weir.job_dead"), "13 2");
  EXPECT_THAT(text("SELECT error FROM weir.job_dead"), HasSubstr("effect_n_key"));
}

TEST_F(LifeTest, ALongTransactionKeepsNoOtherSlotFromWork) {
  std::atomic<bool> begun{false};
  functions_["long"] = [&](const JobContext&) {
    begun = true;
    test::wait_until([&] { return calls_ == 3; }, "the others");
    return Outcome::done();
  };
  const auto worker =
      this->worker({.queues = {"q"}, .slots = 2, .longest_sleep = 1h, .delivery = Delivery::transactional});
  worker->asleep().enable();
  worker->start();
  ASSERT_TRUE(worker->asleep().wait(Deadline::after(20s)));
  enqueue("'q', kind => 'long'");
  test::wait_until([&] { return begun.load(); }, "the long one");
  for (int i = 1; i <= 3; ++i) {
    enqueue("'q'");
    test::wait_until([&] { return calls_ == i; }, "a job beside the long one");
  }
  worker->stop();
}

TEST_F(LifeTest, OnceInTransactionsEndsWithTheLastOneAlsoWhenItSleepsBefore) {
  std::unique_ptr<Worker> worker;
  functions_["first"] = [&](const JobContext& context) {
    test::wait_until([&] { return count("pg_locks WHERE locktype = 'advisory'") > 0; }, "it to lie down");
    // Nobody is woken for it: its slot goes on with it by itself.
    context.session->execute(
        "INSERT INTO weir.job (queue_id, kind, payload) SELECT id, 'second', '1' FROM weir.queue");
    return Outcome::done();
  };
  functions_["second"] = [&](const JobContext&) {
    worker->asleep().wait(Deadline::after(2s));
    ++calls_;
    return Outcome::done();
  };
  enqueue("'q', kind => 'first'");
  worker = this->worker(
      {.queues = {"q"}, .slots = 2, .longest_sleep = 1h, .once = true, .delivery = Delivery::transactional});
  worker->asleep().enable();
  worker->start();
  EXPECT_TRUE(worker->wait_until_finished({}, Deadline::after(20s)));
  worker->stop();
  EXPECT_EQ(calls_, 1);
}

TEST_F(LifeTest, OneBadJobOfABatchOfSqlCostsAFewTriesMore) {
  session().execute_script(
      "CREATE SEQUENCE public.tries; CREATE TABLE public.effect (n int CHECK (n <> 13))");
  enqueue_many("q", 64);
  session().execute("UPDATE weir.job SET max_attempts = 1");
  const work::SqlOptions sql{.sql =
                                 "DO $$BEGIN PERFORM nextval('public.tries'); END$$;"
                                 "INSERT INTO public.effect SELECT (payload->>'n')::int FROM weir_job"};
  Worker worker(shared_connector(), [&] { return std::make_unique<work::SqlHandler>(sql); },
                {.queues = {"q"}, .slots = 1, .once = true, .delivery = Delivery::transactional});
  worker.start();
  worker.wait_until_finished({});
  worker.stop();
  EXPECT_EQ(text("SELECT count(*)::text FROM public.effect"), "63");
  EXPECT_EQ(count("weir.job_dead"), 1);
  EXPECT_LE(session().execute("SELECT last_value FROM public.tries")[0].get<std::int64_t>(0), 30);
}

class ComingQueueTest : public LifeTest, public ::testing::WithParamInterface<Delivery> {};

INSTANTIATE_TEST_SUITE_P(Mode, ComingQueueTest, ::testing::Values(Delivery::leased, Delivery::transactional),
                         [](const auto& mode) {
                           return mode.param == Delivery::leased ? "Leased" : "Transactional";
                         });

TEST_P(ComingQueueTest, TheFirstJobOfAQueueThatJustCameIsFoundAtOnce) {
  const auto worker = this->worker({.longest_sleep = 1h, .delivery = GetParam()});
  worker->asleep().enable();
  worker->start();
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(worker->asleep().wait(Deadline::after(20s)));
    enqueue("'new" + std::to_string(i) + "'");
    test::wait_until([&] { return calls_ == i; }, "the job");
  }
  worker->stop();
}

class LimitTest : public LifeTest {
 protected:
  void set_limit(const std::string& jobs) {
    session().execute("UPDATE weir.queue SET max_running = " + jobs + " WHERE name = 'q'");
  }
};

TEST_F(LimitTest, ThatIsSetWhileATransactionalWorkerRunsIsToldAndKept) {
  const test::ScratchFolder folder("log");
  const std::string path = (folder.path() / "log").string();
  const UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  log::configure({.level = log::Level::info, .fd = log.get()});
  const auto said = [&] {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  };
  const auto worker =
      this->worker({.queues = {"q"}, .longest_sleep = 1h, .delivery = Delivery::transactional});
  worker->asleep().enable();
  worker->start();
  EXPECT_TRUE(worker->asleep().wait(Deadline::after(20s)));
  set_limit("1");
  enqueue("'q'");
  test::wait_until([&] { return said().find("a queue has a limit now") != std::string::npos; }, "a word");
  EXPECT_EQ(count("weir.job"), 1);
  EXPECT_TRUE(worker->asleep().wait(Deadline::after(20s)));
  set_limit("NULL");
  enqueue("'q'");
  test::wait_until([&] { return calls_ == 2; }, "the jobs");
  test::wait_until([&] { return said().find("no limit any more") != std::string::npos; }, "another word");
  worker->stop();
  log::configure({.level = log::Level::error});
}

TEST_F(LimitTest, ThatIsSetWhileATransactionalWorkerRunsOnceEndsIt) {
  functions_[""] = [&](const JobContext&) {
    if (++calls_ == 1) {
      set_limit("1");
      enqueue("'q'");
    }
    return Outcome::done();
  };
  enqueue("'q'");
  const auto worker = this->worker({.queues = {"q"}, .once = true, .delivery = Delivery::transactional});
  worker->start();
  EXPECT_TRUE(worker->wait_until_finished({}, Deadline::after(20s)));
  worker->stop();
  EXPECT_EQ(count("weir.job"), 1);
}

}  // namespace
}  // namespace weir::queue
