// No lost wake-up: nothing here is ever found by the slow look now and then, which would come in an hour.

#include <atomic>
#include <random>
#include <thread>

#include <poll.h>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pg/transaction.h"
#include "queue/job_source.h"
#include "schema/queries/work.h"
#include "support/queue_test.h"
#include "support/waiting.h"
#include "work/bed.h"
#include "work/process.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class WakeTest : public test::QueueTest, public ::testing::WithParamInterface<Delivery> {};

INSTANTIATE_TEST_SUITE_P(Mode, WakeTest, ::testing::Values(Delivery::leased, Delivery::transactional),
                         [](const auto& mode) {
                           return mode.param == Delivery::leased ? "Leased" : "Transactional";
                         });

/// How a producer may look to somebody who is just lying down.
enum class Producer { plain, held_open, old_snapshot, rolled_back_before, after_savepoint };

void produce(pg::Session& session, Producer how, int pause_ms) {
  const auto pause = [&] { ::poll(nullptr, 0, pause_ms); };
  switch (how) {
    case Producer::plain: session.execute("SELECT weir.enqueue('q')"); return;
    case Producer::held_open: {
      pg::Transaction transaction(session);
      session.execute("SELECT weir.enqueue('q')");
      pause();
      transaction.commit();
      return;
    }
    case Producer::old_snapshot: {
      session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ");
      session.execute("SELECT pg_current_xact_id()");
      pause();
      session.execute("SELECT weir.enqueue('q')");
      session.execute("COMMIT");
      return;
    }
    case Producer::rolled_back_before:
      session.execute("BEGIN");
      session.execute("SELECT weir.enqueue('q')");
      pause();
      session.execute("ROLLBACK");
      session.execute("SELECT weir.enqueue('q')");
      return;
    case Producer::after_savepoint:
      session.execute("BEGIN");
      session.execute("SELECT weir.enqueue('q')");
      session.execute("SAVEPOINT s");
      session.execute("SELECT weir.enqueue('q')");
      session.execute("ROLLBACK TO s");
      pause();
      session.execute("COMMIT");
      return;
  }
}

TEST_P(WakeTest, EveryJobIsStartedAtOnceWhateverItsProducerAndTheSleepersDo) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext&) {
    ++calls;
    return Outcome::done();
  };
  const auto one = worker({.queues = {"q"}, .slots = 1, .longest_sleep = 1h, .delivery = GetParam()});
  const auto two = worker({.queues = {"q"}, .slots = 1, .longest_sleep = 1h, .delivery = GetParam()});
  one->start();
  two->start();
  pg::Session session = this->session();
  std::mt19937 random(4711);  // NOLINT: the same rounds each time
  Duration longest{};
  for (int i = 1; i <= 250; ++i) {
    // Between nothing and long enough to be in bed.
    ::poll(nullptr, 0, static_cast<int>(random() % 3 == 0 ? random() % 40 : random() % 4));
    const auto how = static_cast<Producer>(random() % 5);
    ASSERT_NO_THROW({
      produce(session, how, static_cast<int>(random() % 20));
      const SteadyTime committed = std::chrono::steady_clock::now();
      test::wait_until([&] { return calls == i; }, "the job");
      longest = std::max<Duration>(longest, std::chrono::steady_clock::now() - committed);
    }) << "round "
       << i << ", producer " << static_cast<int>(how) << ", calls " << calls << ", jobs that wait "
       << count("weir.job") << ", asleep " << count("pg_locks WHERE locktype = 'advisory'") << ", sessions: "
       << text(
              "SELECT string_agg(concat_ws(' ', application_name, state, left(query, 60)), '; ') FROM "
              "pg_stat_activity "
              "WHERE application_name LIKE 'weir:%'");
  }
  fmt::print("longest wait for a start: {} ms\n", longest / 1ms);
  one->stop();
  two->stop();
}

TEST_P(WakeTest, AProducerWhoseSnapshotIsOlderThanTheWorkerWakesIt) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext&) {
    ++calls;
    return Outcome::done();
  };
  pg::Session producer = this->session();
  producer.execute("SELECT weir.queue_id('q')");
  producer.execute("BEGIN ISOLATION LEVEL REPEATABLE READ");
  producer.execute("SELECT 1");
  const auto worker = this->worker({.queues = {"q"}, .longest_sleep = 1h, .delivery = GetParam()});
  worker->asleep().enable();
  worker->start();
  ASSERT_TRUE(worker->asleep().wait(Deadline::after(20s)));
  producer.execute("SELECT weir.enqueue('q')");
  producer.execute("COMMIT");
  test::wait_until([&] { return calls == 1; }, "the job");
  worker->stop();
}

TEST_P(WakeTest, NobodyIsNotifiedWhileAllAreBusy) {
  std::atomic<bool> go_on{false};
  std::atomic<int> calls{0};
  functions_["count"] = [&](const JobContext& context) {
    ++calls;
    Wakeup unused;
    while (!go_on && !context.stop.stop_requested())
      wait_fd(-1, 0, Deadline::after(1ms), context.stop, unused);
    return Outcome::done();
  };
  enqueue_many("q", 50);  // more than it takes ahead: it holds all it wants, and looks no more
  const auto worker = this->worker({.queues = {"q"}, .slots = 1, .delivery = GetParam()});
  worker->start();
  test::wait_until([&] { return calls == 1; }, "the first job");
  const auto life = worker->process().life({});
  pg::Session listening = this->session();
  listening.execute("LISTEN weir_" + std::to_string(life->id()));
  pg::Session session = this->session();
  for (int i = 0; i < 200; ++i) session.execute("SELECT weir.enqueue('q')");
  listening.execute("SELECT 1");
  EXPECT_FALSE(listening.next_notification());
  go_on = true;
  worker->stop();
}

class HandoverTest : public test::QueueTest {};

TEST_F(HandoverTest, WhatAWorkerHandsBackWakesAnother) {
  std::atomic<int> calls{0};
  std::atomic<bool> go_on{false};
  functions_["count"] = [&](const JobContext&) {
    ++calls;
    Wakeup unused;
    for (const Deadline limit = Deadline::after(30s); !go_on && !limit.expired();)
      wait_fd(-1, 0, Deadline::after(1ms), {}, unused);
    return Outcome::done();
  };
  enqueue_many("q", 5);
  const auto first = worker({.queues = {"q"}, .slots = 1});
  first->start();
  test::wait_until([&] { return calls == 1; }, "the first job");
  const auto second = worker({.queues = {"q"}, .slots = 1, .longest_sleep = 1h});
  second->asleep().enable();
  second->start();
  ASSERT_TRUE(second->asleep().wait(Deadline::after(20s)));
  std::jthread stopping([&] { first->stop(); });
  test::wait_until([&] { return calls == 2; }, "another to begin what was handed back");
  go_on = true;
  stopping.join();
  test::wait_until([&] { return calls == 5; }, "the rest");
  second->stop();
  expect_no_job_left();
}

TEST_F(HandoverTest, AFrozenProcesssWorkWakesASleeper) {
  std::atomic<int> calls{0};
  functions_[""] = [&](const JobContext&) {
    ++calls;
    return Outcome::done();
  };
  enqueue("'q'");
  // In the middle of its transaction, and never heard of again.
  pg::Session frozen = connector().connect(pg::Role::task, "p4711");
  session().execute(
      "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES (4711, 'frozen', "
      "'infinity')");
  session().execute("INSERT INTO weir.listener SELECT 'job:' || id, 4711 FROM weir.queue");
  frozen.execute("BEGIN");
  frozen.execute("DELETE FROM weir.job");
  const auto other = worker({.queues = {"q"}, .lease = 1s, .longest_sleep = 1h});
  other->asleep().enable();
  other->start();
  ASSERT_FALSE(other->asleep().wait(Deadline::after(100ms)))
      << "it looks as long as a transaction is not decided";
  session().execute("UPDATE weir.process SET lease_until = now() WHERE id = 4711");
  test::wait_until([&] { return calls == 1; }, "the job");
  other->stop();
  EXPECT_THROW(frozen.execute("COMMIT"), pg::ConnectionLost);
}

/// Of a process that sleeps for all queues there are.
TEST_F(HandoverTest, WhoSleepsForAllQueuesIsToldWhichOneAndLooksThereFirst) {
  for (int i = 0; i < 12; ++i) enqueue("'q" + std::to_string(i) + "'");
  pg::Session session = this->session();
  const auto registered = session.run<sql::RegisterProcess>("test", std::int64_t{3'600'000});
  const work::Life life(registered.one().id);
  JobSource source({}, session);
  ASSERT_EQ(source.topics(), std::vector<std::string>{"job:*"});
  work::Bed bed(connector(), source.topics());
  bed.make(life, {});
  bed.lie_down();
  enqueue("'q7'");
  Wakeup unused;
  const auto heard = bed.wait(Deadline::after(20s), {}, unused);
  EXPECT_TRUE(heard.wake);
  ASSERT_EQ(heard.about,
            std::vector<std::string>{"job:" + text("SELECT id::text FROM weir.queue WHERE name = 'q7'")});

  source.hear("job:4711");  // a queue that is gone
  source.hear(heard.about.front());
  const auto first = source.claim(session, life, 100, false);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->items().size(), 2U);
  EXPECT_EQ(first->items().front().source, "q7");
  // A hint is one: the others have their turns.
  for (int i = 0; i < 11; ++i) EXPECT_TRUE(source.claim(session, life, 100, false)) << i;
  EXPECT_FALSE(source.claim(session, life, 100, true));
}

/// A queue with a limit is looked at now and then only while its limit keeps jobs back.
TEST_F(HandoverTest, AnEmptyQueueWithALimitIsLeftAlone) {
  pg::Session session = this->session();
  const auto registered = session.run<sql::RegisterProcess>("test", std::int64_t{3'600'000});
  const work::Life life(registered.one().id);
  for (const char* limit : {"rate_limit = 1, rate_period_ms = 3600000", "max_running = 1"}) {
    session.execute("TRUNCATE weir.queue, weir.job_claim, weir.job_slot CASCADE");
    session.execute("SELECT weir.queue_id('q')");
    session.execute(std::string("UPDATE weir.queue SET ") + limit);
    JobSource source({"q"}, session);
    EXPECT_FALSE(source.claim(session, life, 100, true)) << limit;
    EXPECT_FALSE(source.next_look()) << limit;

    enqueue_many("q", 2);
    const auto first = source.claim(session, life, 100, true);
    ASSERT_TRUE(first) << limit;
    EXPECT_EQ(first->items().size(), 1U) << limit;
    EXPECT_FALSE(source.claim(session, life, 100, true)) << limit;
    EXPECT_TRUE(source.next_look()) << limit;

    session.execute("DELETE FROM weir.job");
    EXPECT_FALSE(source.claim(session, life, 100, true)) << limit;
    EXPECT_FALSE(source.next_look()) << limit;
  }
}

TEST_F(HandoverTest, WhatCameWithTheAnswerToAStatementIsHeard) {
  pg::Session session = this->session();
  const auto registered = session.run<sql::RegisterProcess>("test", std::int64_t{3'600'000});
  const work::Life life(registered.one().id);
  work::Bed bed(connector(), {"job:*"});
  bed.make(life, {});
  // As long as it lasts, each decided() asks the server.
  pg::Session undecided = this->session();
  undecided.execute("BEGIN");
  undecided.execute("SELECT pg_current_xact_id()");
  bed.lie_down();
  session.execute("SELECT pg_notify('weir_" + std::to_string(life.id()) + "', 'cancel')");
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(bed.decided());

  std::stop_source too_long;
  const std::jthread watchdog([&](const std::stop_token& enough) {
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(20s), enough, unused);
    too_long.request_stop();
  });
  Wakeup room;
  EXPECT_TRUE(bed.wait(Deadline::never(), too_long.get_token(), room).cancel);
  EXPECT_FALSE(too_long.stop_requested()) << "it lay in the session's memory, where nobody looked";
}

}  // namespace
}  // namespace weir::queue
