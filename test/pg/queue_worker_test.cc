// Leased jobs, end to end: what becomes of a job, and what of its worker.

#include <atomic>
#include <set>
#include <thread>

#include <poll.h>

#include <gtest/gtest.h>

#include "queue/figures.h"
#include "support/queue_test.h"
#include "support/waiting.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class WorkerTest : public test::QueueTest {};

TEST_F(WorkerTest, EveryJobIsDoneOnceAndNothingIsLeft) {
  std::atomic<int> calls{0};
  functions_["count"] = [&](const JobContext&) {
    ++calls;
    return Outcome::done();
  };
  enqueue_many("q", 5000);
  work_off({.queues = {"q"}});
  EXPECT_EQ(calls, 5000);
  for (const char* table :
       {"weir.job", "weir.job_claim", "weir.job_later", "weir.job_dead", "weir.process"}) {
    EXPECT_EQ(count(table), 0) << table;
  }
}

TEST_F(WorkerTest, AFailureIsTriedAgainAndThenGivenUp) {
  std::atomic<int> calls{0};
  functions_["bad"] = [&](const JobContext& context) -> Outcome {
    EXPECT_EQ(context.job.attempt, ++calls);
    throw std::runtime_error("attempt " + std::to_string(context.job.attempt));
  };
  const auto id = enqueue("'q', '{}', 'bad', max_attempts => 3");
  session().execute("UPDATE weir.queue SET backoff_ms = 1, backoff_cap_ms = 1");
  work_off({.queues = {"q"}});
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(text("SELECT id || ' ' || attempt || ' ' || error FROM weir.job_dead"),
            std::to_string(id) + " 3 attempt 3");
}

TEST_F(WorkerTest, AnUnknownKindIsADeadLetterAtOnce) {
  enqueue("'q', '{}', 'mystery'");
  work_off({.queues = {"q"}});
  EXPECT_EQ(text("SELECT error FROM weir.job_dead WHERE attempt = 1"),
            "no handler for jobs of kind \"mystery\"");
}

TEST_F(WorkerTest, ASleepingWorkerIsWokenByAnEnqueue) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext&) {
    ++calls;
    return Outcome::done();
  };
  const auto worker = this->worker({.queues = {"q"}, .longest_sleep = 1h});
  worker->asleep().enable();
  worker->start();
  for (int i = 1; i <= 20; ++i) {
    ASSERT_TRUE(worker->asleep().wait(Deadline::after(20s))) << i;
    enqueue("'q'");
    test::wait_until([&] { return calls == i; }, "the job");
  }
  worker->stop();
}

TEST_F(WorkerTest, ADeadProcesssJobsAreDoneByAnother) {
  enqueue_many("q", 10);
  // A process that claimed and was never heard of again.
  pg::Session session = this->session();
  session.execute("INSERT INTO weir.process (name, lease_until) VALUES ('gone', now() - interval '1 s')");
  session.execute(
      "WITH t AS (DELETE FROM weir.job RETURNING *) INSERT INTO weir.job_claim (worker_id, number, queue_id, "
      "lane, "
      "jobs) "
      "SELECT 1, 1, queue_id, 0, array_agg(ROW(seq, seq, created_at, NULL, priority, 1, max_attempts, kind, "
      "payload, NULL, "
      "NULL, NULL)::weir.claimed_job) FROM t GROUP BY 3");
  std::atomic<int> calls{0};
  functions_["count"] = [&](const JobContext& context) {
    EXPECT_EQ(context.job.attempt, 2);
    ++calls;
    return Outcome::done();
  };
  work_off({.queues = {"q"}});
  EXPECT_EQ(calls, 10);
  EXPECT_EQ(count("weir.job_claim") + count("weir.process WHERE NOT dead"), 0);
}

TEST_F(WorkerTest, ADeadLetterOfItsOwnRescueCounts) {
  pg::Session session = this->session();
  session.execute("INSERT INTO weir.process (name, lease_until) VALUES ('gone', now() - interval '1 s')");
  for (const std::string queue : {"q", "other"}) {
    enqueue_many(queue, 2);
    session.execute(
        "WITH t AS (DELETE FROM weir.job RETURNING *) INSERT INTO weir.job_claim (worker_id, number, "
        "queue_id, lane, jobs) SELECT 1, queue_id, queue_id, 0, array_agg(ROW(seq, seq, created_at, NULL, "
        "priority, max_attempts, max_attempts, kind, payload, NULL, NULL, NULL)::weir.claimed_job) FROM t "
        "GROUP BY queue_id");
  }
  const auto worker = this->worker({.queues = {"q"}, .once = true});
  worker->start();
  EXPECT_TRUE(worker->wait_until_finished({}, Deadline::after(std::chrono::seconds(30))));
  worker->stop();
  const Worker::Stats stats = worker->stats();
  EXPECT_EQ(stats.dead, 2);
  EXPECT_EQ(stats.failed, 2);
  EXPECT_EQ(count("weir.job_dead"), 4);
  EXPECT_EQ(session.execute("SELECT sum(dead)::int8 FROM weir.queue_stats")[0].get<std::int64_t>(0), 4);
}

/// Both ways of delivery.
class TimesTest : public WorkerTest, public ::testing::WithParamInterface<Delivery> {};
INSTANTIATE_TEST_SUITE_P(Mode, TimesTest, ::testing::Values(Delivery::leased, Delivery::transactional),
                         [](const auto& mode) {
                           return mode.param == Delivery::leased ? "leased" : "transactional";
                         });

TEST_P(TimesTest, HowLongJobsWaitedAndRanIsSeenByWhoeverLooks) {
  functions_["count"] = [&](const JobContext&) { return Outcome::done(); };
  enqueue_many("q", 100);
  pg::Session session = this->session();
  session.execute("UPDATE weir.job SET created_at = created_at - interval '1 h'");
  // They waited because they were told to, or because they had failed: nobody is late.
  session.execute(
      "INSERT INTO weir.job_later (id, run_at, created_at, queue_id, lane, priority, attempt, max_attempts, "
      "kind, "
      "payload) SELECT seq + 1000000, now() - interval '1 s', created_at - interval '10 h', queue_id, lane, "
      "priority, attempt, max_attempts, kind, payload FROM weir.job");
  const auto worker = this->worker({.queues = {"q"}, .delivery = GetParam()});
  worker->start();
  const auto figures = [&] { return queue_figures(session, {"q"}).front(); };
  test::wait_until([&] { return figures().done == 200 && figures().wait; }, "a report of all");
  const QueueFigures seen = figures();
  worker->stop();
  EXPECT_GE(seen.wait.value().p50, 1h);
  EXPECT_LE(seen.wait.value().p99, 80min);
  EXPECT_GT(seen.run.value().p50, Duration::zero());
  EXPECT_LT(seen.run.value().p99, 30min) << "it does not count from the enqueueing";
  session.execute("UPDATE weir.queue_stats SET updated_at = updated_at - interval '10 s'");
  EXPECT_FALSE(figures().wait.has_value()) << "of late";
}

// Found in review.
TEST_P(TimesTest, AClaimThatIsSlowIsPartOfTheWait) {
  functions_["count"] = [&](const JobContext&) { return Outcome::done(); };
  enqueue("'q', '{}', 'count'");
  pg::Session session = this->session();
  session.execute("DELETE FROM weir.job");
  pg::Session other = this->session();
  const auto worker = this->worker({.queues = {"q"}, .delivery = GetParam()});
  Duration held{};
  {
    pg::Transaction hold(other);
    other.execute("LOCK TABLE weir.job IN ACCESS EXCLUSIVE MODE");
    other.execute("SELECT weir.enqueue('q', '{}', 'count') FROM generate_series(1, 10)");
    std::jthread starting([&] { worker->start(); });
    const auto claims =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ "
        "'weir:(claim|take)_jobs'";
    test::wait_until([&] { return session.execute(claims)[0].get<std::int64_t>(0) > 0; },
                     "a claim that waits");
    const SteadyTime before = steady_now();
    std::this_thread::sleep_for(100ms);  // what is measured
    held = steady_now() - before;
    hold.commit();
  }
  const auto figures = [&] { return queue_figures(session, {"q"}).front(); };
  test::wait_until([&] { return figures().done == 10 && figures().wait; }, "a report of all");
  worker->stop();
  EXPECT_GE(figures().wait.value().p50, held);
}

TEST_P(TimesTest, WhatIsTooLateToBeginHasNoTimes) {
  functions_["count"] = [&](const JobContext&) { return Outcome::done(); };
  enqueue_many("q", 10);
  pg::Session session = this->session();
  session.execute("UPDATE weir.job SET deadline_at = now() - interval '1 s'");
  const auto worker = this->worker({.queues = {"q"}, .delivery = GetParam()});
  worker->start();
  const auto figures = [&] { return queue_figures(session, {"q"}).front(); };
  test::wait_until([&] { return figures().failed == 10; }, "a report of all");
  worker->stop();
  EXPECT_FALSE(figures().wait.has_value());
  EXPECT_FALSE(figures().run.has_value());
}

TEST_F(WorkerTest, ALostLeaseStopsTheWorkAndItsOutcomeIsRefused) {
  Wakeup begun;
  std::atomic<bool> stopped{false};
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext& context) {
    if (++calls > 1) return Outcome::done();
    begun.notify();
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(30s), context.stop, unused);
    stopped = context.stop.stop_requested();
    return Outcome::done();
  };
  enqueue("'q'");
  const auto worker = this->worker({.queues = {"q"}, .lease = 9s});
  worker->start();
  Wakeup unused;
  ASSERT_EQ(wait_fd(begun.fd(), POLLIN, Deadline::after(20s), {}, unused), WaitEnd::ready);
  session().execute("UPDATE weir.process SET dead = true");
  test::wait_until([&] { return calls == 2; }, "the second attempt, in the next life");
  test::wait_until([&] { return stopped.load(); }, "the end of the first attempt");
  test::wait_until([&] { return count("weir.job_claim") == 0; }, "the outcome of the second");
  test::wait_until([&] { return worker->stats().refused > 0; }, "the refusal of the first's");
  EXPECT_EQ(worker->stats().refused, 1U);
  worker->stop();
}

TEST_F(WorkerTest, StopHandsBackWhatHasNotBegun) {
  Wakeup begun;
  Wakeup go_on;
  functions_["count"] = [&](const JobContext&) {
    begun.notify();
    Wakeup unused;
    wait_fd(go_on.fd(), POLLIN, Deadline::after(30s), {}, unused);
    return Outcome::done();
  };
  enqueue_many("q", 5);
  const auto worker = this->worker({.queues = {"q"}, .slots = 1});
  worker->start();
  Wakeup unused;
  ASSERT_EQ(wait_fd(begun.fd(), POLLIN, Deadline::after(20s), {}, unused), WaitEnd::ready);
  std::jthread stopping([&] { worker->stop(); });
  test::wait_until([&] { return count("weir.job") > 0; }, "jobs that are handed back");
  go_on.notify();
  stopping.join();
  EXPECT_EQ(count("weir.job_claim"), 0);
  EXPECT_EQ(count("weir.job WHERE attempt > 0"), 0) << "a job that was handed back has not been tried";
}

TEST_F(WorkerTest, ARunningJobIsCancelled) {
  Wakeup begun;
  functions_[""] = [&](const JobContext& context) {
    begun.notify();
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(30s), context.stop, unused);
    return Outcome();
  };
  const auto id = enqueue("'q'");
  const auto worker = this->worker({.queues = {"q"}});
  worker->start();
  Wakeup unused;
  ASSERT_EQ(wait_fd(begun.fd(), POLLIN, Deadline::after(20s), {}, unused), WaitEnd::ready);
  EXPECT_EQ(text("SELECT weir.cancel_job(" + std::to_string(id) + ")"), "stopping");
  test::wait_until([&] { return count("weir.job_claim") == 0; }, "its end");
  EXPECT_EQ(count("weir.job") + count("weir.job_later") + count("weir.job_dead"), 0);
  worker->stop();
}

TEST_F(WorkerTest, ALargePayloadArrivesWhole) {
  std::atomic<std::size_t> size{0};
  functions_[""] = [&](const JobContext& context) {
    size = context.job.payload.size();
    return Outcome::done();
  };
  session().execute(
      "SELECT weir.enqueue('q', jsonb_build_object('x', (SELECT string_agg(md5(n::text), '') FROM "
      "generate_series(1, 100000) n)))");
  EXPECT_EQ(count("weir.job_payload"), 1);
  work_off({.queues = {"q"}});
  EXPECT_EQ(size, 3200009U);
  EXPECT_EQ(count("weir.job_payload"), 0);
}

TEST_F(WorkerTest, HistoryKeepsTheResult) {
  functions_[""] = [&](const JobContext&) { return Outcome::done(R"({"answer": 42})"); };
  const auto id = enqueue("'q', '{\"question\": 1}'");
  session().execute("UPDATE weir.queue SET keep_days = 1");
  work_off({.queues = {"q"}});
  EXPECT_EQ(text("SELECT id || ' ' || payload || ' ' || result FROM weir.job_done"),
            std::to_string(id) + R"( {"question": 1} {"answer": 42})");
}

TEST_F(WorkerTest, InATransactionEffectsHappenOnceAndFailuresLeaveNone) {
  session().execute("CREATE TABLE public.effect (n int)");
  functions_["count"] = [&](const JobContext& context) -> Outcome {
    context.session->execute("INSERT INTO public.effect SELECT ($1::jsonb->>'n')::int",
                             pg::JsonView{context.job.payload});
    const bool bad = context.job.payload.find("7") != std::string_view::npos;
    if (bad && context.job.attempt == 1) throw std::runtime_error("a seven");
    return Outcome::done();
  };
  enqueue_many("q", 300);
  session().execute("UPDATE weir.queue SET backoff_ms = 1, backoff_cap_ms = 1");
  work_off({.queues = {"q"}, .delivery = Delivery::transactional});
  EXPECT_EQ(text("SELECT count(*) || ' ' || count(DISTINCT n) FROM public.effect"), "300 300");
  EXPECT_EQ(count("weir.job_claim") + count("weir.job_dead") + count("weir.job_later"), 0);
}

TEST_F(WorkerTest, InATransactionAnErrorThatComesAgainIsItsJobsAlone) {
  session().execute("CREATE TABLE public.effect (n int)");
  functions_["count"] = [&](const JobContext& context) -> Outcome {
    const bool bad = context.job.payload.find("7") != std::string_view::npos;
    context.session->execute(bad ? "INSERT INTO public.nowhere VALUES (1)"
                                 : "INSERT INTO public.effect VALUES (1)");
    return Outcome::done();
  };
  enqueue_many("q", 20);
  session().execute("UPDATE weir.job SET max_attempts = 2");
  session().execute("UPDATE weir.queue SET backoff_ms = 1, backoff_cap_ms = 1");
  work_off({.queues = {"q"}, .delivery = Delivery::transactional});
  EXPECT_EQ(count("public.effect"), 18);
  EXPECT_EQ(count("weir.job_dead WHERE attempt = 2 AND error LIKE '%nowhere%'"), 2);
}

TEST_F(WorkerTest, LargePayloadsOfOneTransactionAreNotInMemoryAllAtOnce) {
  struct Weigher final : work::Handler {
    explicit Weigher(std::vector<std::size_t>& out) : out_(out) {}
    void run(work::Batch& batch) override {
      std::size_t bytes = 0;
      for (const work::Item& item : batch.items()) bytes += item.payload.size();
      out_.push_back(bytes);
      batch.settle_rest(Outcome::done());
    }
    std::vector<std::size_t>& out_;
  };
  constexpr std::size_t kEach = 6'000'000;
  session().execute(
      "SELECT weir.enqueue('q', to_jsonb(repeat('x', $1::int4 - 2))) FROM generate_series(1, 8)",
      static_cast<std::int32_t>(kEach));
  std::vector<std::size_t> weights;
  Worker worker(shared_connector(), [&] { return std::make_unique<Weigher>(weights); },
                {.queues = {"q"}, .slots = 1, .once = true, .delivery = Delivery::transactional});
  worker.start();
  worker.wait_until_finished({});
  worker.stop();
  EXPECT_EQ(weights, (std::vector<std::size_t>{3 * kEach, 3 * kEach, 2 * kEach}));
  EXPECT_EQ(count("weir.job_payload"), 0);
}

TEST_F(WorkerTest, ASleepingTransactionalWorkerIsWokenByAnEnqueue) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext&) {
    ++calls;
    return Outcome::done();
  };
  const auto worker =
      this->worker({.queues = {"q"}, .longest_sleep = 1h, .delivery = Delivery::transactional});
  worker->asleep().enable();
  worker->start();
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(worker->asleep().wait(Deadline::after(20s))) << i;
    enqueue("'q'");
    test::wait_until([&] { return calls == i; }, "the job");
  }
  worker->stop();
}

TEST_F(WorkerTest, ACapHoldsForAllWorkersTogether) {
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::atomic<int> calls{0};
  functions_["count"] = [&](const JobContext&) {
    const int now = ++running;
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    std::this_thread::yield();
    --running;
    ++calls;
    return Outcome::done();
  };
  enqueue_many("q", 200);
  session().execute("UPDATE weir.queue SET max_running = 3");
  const auto other = this->worker({.queues = {"q"}, .slots = 8});
  other->start();
  work_off({.queues = {"q"}, .slots = 8});
  other->stop();
  EXPECT_EQ(calls, 200);
  EXPECT_LE(most, 3);
  EXPECT_EQ(count("weir.job_slot"), 0);
}

}  // namespace
}  // namespace weir::queue
