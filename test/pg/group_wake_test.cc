// Who wakes idle consumers, and that nobody is told who need not be. Where something is waited for here, only
// a notification can bring it in time: who has had no work yet looks again after half a minute.

#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "group/admin.h"
#include "pg/transaction.h"
#include "schema/queries/doctor_work.h"
#include "schema/queries/groups.h"
#include "support/group_test.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

constexpr Duration kSleep = 1h;

class GroupWakeTest : public test::GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    sink_ = add_sink("s");
  }
  void TearDown() override {
    ear_.reset();
    GroupTest::TearDown();
  }

  /// A session that sleeps at a sink as a consumer does, and writes down what it hears.
  void sleep_at(const SinkDefinition& sink) {
    ear_.emplace(session());
    channel_ = "weir_group_" + std::to_string(sink.id);
    ear_->execute("LISTEN " + channel_);
    ear_->run<sql::SleepAtSink>(sink.id);
  }
  /// How many notifications there were since it was asked last.
  int told() {
    one_->execute("SELECT pg_notify($1, 'that is all')", channel_);
    Wakeup nobody;
    int heard = 0;
    for (const Deadline end = Deadline::after(20s); !end.expired();) {
      while (const auto notification = ear_->next_notification()) {
        if (notification->payload == "that is all") return heard;
        ++heard;
      }
      ear_->wait_readable({.deadline = end}, nobody);
    }
    throw std::runtime_error("what was notified did not come");
  }

  OwnedGroup own(const SinkDefinition& sink, Ownership ownership = Ownership::lease,
                 const GroupKey& group = kGroup) {
    auto owned = GroupConnection::try_lock(connection(), sink, group, ownership, "owner");
    if (!owned) throw std::runtime_error("somebody else has the group");
    return *std::move(owned);
  }
  /// One that has had no work, and sleeps until somebody wakes it.
  std::unique_ptr<Consumer> sleeper(SinkFactory sinks) {
    auto consumer = this->consumer({.sink = "s", .poll = kSleep}, std::move(sinks));
    consumer->sleeps.enable();
    consumer->start();
    EXPECT_EQ(consumer->sleeps.wait(Deadline::after(20s)), kSleep);
    EXPECT_EQ(consumer->counts().woken, 0);
    return consumer;
  }
  void expect_done() {
    test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batches");
  }

  SinkDefinition sink_;
  std::optional<pg::Session> ear_;
  std::string channel_;
};

TEST_F(GroupWakeTest, ABatchThatIsSubmittedWakesAnIdleConsumer) {
  const auto consumer = sleeper(inside_effect("s"));
  submit(kGroup);
  expect_done();
  EXPECT_GE(consumer->counts().woken, 1);
  consumer->stop();
}

TEST_F(GroupWakeTest, AConsumerThatStopsWakesAnotherForTheGroupThatItGivesBack) {
  for (const Ownership ownership : {Ownership::advisory, Ownership::lease}) {
    submit_run(kGroup, ownership == Ownership::advisory ? "a" : "l", 2);
    test::Gate gate;
    const auto first = this->consumer(
        {.sink = "s", .ownership = ownership}, outside([&](const Batch&, const Application& application) {
          return gate.pass(application.stop) ? Outcome::done() : Outcome::returned();
        }));
    first->start();
    gate.wait_for(1);
    const auto second = sleeper(inside_effect("s"));
    std::jthread opener([&] {
      pg::Session look = session();
      const auto polls = [&] {
        return look
            .execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE "
                "'weir:poll:%'")
            .rows();
      };
      test::wait_until([&] { return polls() == 1; }, "the poll of the first to end");
      gate.open();
    });
    first->stop();
    opener.join();
    EXPECT_EQ(first->counts().succeeded, 1);
    expect_done();
    second->stop();  // it counts after it has committed
    EXPECT_EQ(second->counts().succeeded, 1);
    EXPECT_GE(second->counts().woken, 1);
    EXPECT_EQ(second->counts().skipped, 0) << "woken before the lock was gone";
  }
}

TEST_F(GroupWakeTest, AProducerOfLongAgoWhoDidNotSeeASleeperIsNotMissed) {
  pg::Session early = session();
  early.execute_script("BEGIN; SELECT weir.submit_batch('t', 'k', '{}')");
  const auto consumer = this->consumer({.sink = "s", .poll = kSleep}, inside_effect("s"));
  consumer->sleeps.enable();
  consumer->start();
  test::wait_until(
      [&] {
        return number(
                   "SELECT count(*) FROM pg_locks l JOIN weir.feed_sink k ON ((l.classid::int8 << 32) | "
                   "l.objid::int8) = weir.sleep_key('group:' || k.id) WHERE l.mode = 'ShareLock'") == 1;
      },
      "the mark that it sleeps");
  EXPECT_FALSE(consumer->sleeps.wait(Deadline::after(0s)));
  early.execute("COMMIT");
  expect_done();
  consumer->stop();
}

TEST_F(GroupWakeTest, NoSubmissionIsLostAtWhateverMomentItComes) {
  constexpr int kTimes = 200;
  std::jthread producer([&] {
    pg::Session session = this->session();
    for (int i = 0; i < kTimes; ++i) {
      pg::Transaction transaction(session);
      session.execute("SELECT weir.submit_batch('t', $1, '{}')", std::to_string(i));
      if (i % 3 == 0) session.execute("SELECT pg_sleep(0.003 * random())");
      transaction.commit();
    }
  });
  pg::Session worker = session();
  Wakeup nobody;
  auto poll = PollConnection::open(connector(), "test", {});
  for (std::int64_t found = 0; found < kTimes;) {
    if (!poll.is_lying()) poll.lie_down(sink_);
    const bool decided = poll.decided();
    if (!poll.candidates(sink_, kTimes).empty()) {
      poll.get_up();
      found += worker.execute("DELETE FROM weir.batch_step RETURNING 1").rows();
    } else if (decided) {
      ASSERT_TRUE(poll.wait(Deadline::after(20s), {}, nobody)) << found << " of " << kTimes;
      poll.get_up();
    }
  }
}

TEST_F(GroupWakeTest, WhoSubmitsNotifiesOnlyWhileSomebodySleepsAndOnceInATransaction) {
  sleep_at(sink_);
  {
    pg::Transaction transaction(*one_);
    submit({"t", "1"});
    submit({"t", "2"});
    transaction.commit();
  }
  EXPECT_EQ(told(), 1);
  one_->execute_script("BEGIN; SELECT weir.submit_batch('t', '3', '{}'); ROLLBACK");
  EXPECT_EQ(told(), 0);
  add_sink("behind", "s");
  submit({"t", "4"});
  EXPECT_EQ(told(), 1);
  ear_->run<sql::RiseAtSink>(sink_.id);
  submit({"t", "5"});
  EXPECT_EQ(told(), 0) << "it is awake";
}

TEST_F(GroupWakeTest, AllIdleConsumersAreToldOfABatchAndThoseWhoDoNotGetItSleepAgain) {
  std::vector<std::unique_ptr<Consumer>> consumers;
  for (int i = 0; i < 3; ++i) consumers.push_back(sleeper(inside_effect("s")));
  submit(kGroup);
  expect_done();
  for (const auto& consumer : consumers) {
    EXPECT_TRUE(consumer->sleeps.wait(Deadline::after(20s))) << "it stays up";
    EXPECT_GE(consumer->counts().woken, 1);
  }
  // And whoever it was, the next one wakes one of them as well.
  submit({"t", "2"});
  expect_done();
  std::int64_t begun = 0;
  for (const auto& consumer : consumers) {
    consumer->stop();
    begun += consumer->counts().begun;
  }
  EXPECT_EQ(begun, 2);
  EXPECT_EQ(effects("s"), "0 0");
}

// Found in review: it did not lie, had looked in vain for long, and was deaf for a whole --poll.
TEST_F(GroupWakeTest, WhoIsToldAndHasMoreBeforeHimThanALookTakesInLooksOn) {
  one_->execute(
      "INSERT INTO weir.batch_step (sink_id, tenant, key, run_id, idx, run_at) SELECT $1, 't', to_char(n, "
      "'FM000000'), -n, 1, now() FROM generate_series(1, 6000) n",
      sink_.id);
  const auto consumer = sleeper(inside_effect("s"));
  for (int i = 0; i < 8; ++i) {
    one_->execute("SELECT pg_notify($1, '')", "weir_group_" + std::to_string(sink_.id));
    ASSERT_TRUE(consumer->sleeps.wait(Deadline::after(20s))) << i;
  }
  submit({"t", "z"});
  test::wait_until([&] { return number("SELECT count(*) FROM effect") == 1; }, "the group behind them");
  consumer->stop();
}

TEST_F(GroupWakeTest, ASinkThatPassesABatchOnWakesThoseBehindIt) {
  const SinkDefinition behind = add_sink("behind", "s");
  sleep_at(behind);
  submit(kGroup);
  EXPECT_EQ(told(), 0) << "the batch is not before it";
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(told(), 1);
}

TEST_F(GroupWakeTest, AGroupThatIsGivenBackWakesOthersOnlyWhereItCouldGoOn) {
  sleep_at(sink_);
  for (const Ownership ownership : {Ownership::advisory, Ownership::lease}) {
    static_cast<void>(own(sink_, ownership).release());
    EXPECT_EQ(told(), 0) << "there is nothing in it";

    submit(kGroup);
    EXPECT_EQ(told(), 1);
    static_cast<void>(own(sink_, ownership).release());
    EXPECT_EQ(told(), 1) << "its batch was not begun";

    OwnedGroup later = own(sink_, ownership);
    ASSERT_TRUE(later.begin().batch);
    ASSERT_TRUE(later.end({Ending::Kind::retry, "later", 1h}));
    static_cast<void>(std::move(later).release());
    EXPECT_EQ(told(), 0) << "its batch is not due";
    one_->execute("DELETE FROM weir.batch_step");
  }
  submit(kGroup);
  {
    OwnedGroup broken = own(sink_);
    const auto begun = broken.begin();
    ASSERT_TRUE(begun.batch);
    EXPECT_EQ(told(), 1);  // that it was submitted
    pg::Session other = session();
    give_back(other, sink_, kGroup, "owner", begun.batch->at(), {Ending::Kind::returned, std::nullopt});
  }
  EXPECT_EQ(told(), 1) << "by another connection";
}

TEST_F(GroupWakeTest, WhoSeesThatAGroupWasGivenBackFindsNoLockOfIt) {
  one_->execute_script(
      "CREATE TABLE public.lock_left (locks int8); "
      "CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO "
      "public.lock_left SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' "
      "AND objsubid = 2; RETURN NULL; END $$; "
      "CREATE CONSTRAINT TRIGGER look AFTER DELETE ON weir.group_hold DEFERRABLE INITIALLY DEFERRED FOR EACH "
      "ROW EXECUTE FUNCTION public.look()");
  static_cast<void>(own(sink_, Ownership::advisory).release());
  EXPECT_EQ(text("SELECT string_agg(locks::text, ' ') FROM public.lock_left"), "0");
}

// Found in review: it was asked before the commit whether anybody need be told.
TEST_F(GroupWakeTest, WhatIsSubmittedWhileAGroupIsGivenBackIsToldOfWhenTheGroupIsFree) {
  one_->execute_script(
      "CREATE FUNCTION public.pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
      "pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$; "
      "CREATE CONSTRAINT TRIGGER pass AFTER DELETE ON weir.group_hold DEFERRABLE INITIALLY DEFERRED FOR EACH "
      "ROW EXECUTE FUNCTION public.pass()");
  sleep_at(sink_);
  for (const Ownership ownership : {Ownership::advisory, Ownership::lease}) {
    OwnedGroup owned = own(sink_, ownership);
    std::jthread release;
    pg::Session gate = session();
    gate.execute("SELECT pg_advisory_lock(4711)");
    release = std::jthread([&] {
      owned.hand_over();
      EXPECT_NO_THROW(static_cast<void>(std::move(owned).release()));
    });
    test::wait_until(
        [&] {
          return number(
                     "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT "
                     "granted") == 1;
        },
        "the release to be about to commit");
    submit(kGroup);
    EXPECT_EQ(told(), 1) << "somebody else has it as yet";
    gate.execute("SELECT pg_advisory_unlock(4711)");
    release.join();
    EXPECT_EQ(told(), 1);
    one_->execute("DELETE FROM weir.batch_step");
  }
}

TEST_F(GroupWakeTest, WhatASweepFindsAndWhatIsDoneByHandWakesOthers) {
  submit_run(kGroup, "r", 2);
  const int pid = [&] {
    OwnedGroup dead = own(sink_, Ownership::advisory);
    EXPECT_TRUE(dead.begin().batch);
    return dead.use([](pg::Session& session) { return session.backend_pid(); });
  }();
  test::wait_until_gone(connector(), pid);
  sleep_at(sink_);
  EXPECT_EQ(recover(sink_), 1U);
  EXPECT_EQ(told(), 1);
  EXPECT_EQ(recover(sink_), 0U);
  EXPECT_EQ(told(), 0);

  const std::int64_t run = number("SELECT min(run_id) FROM weir.batch_step");
  fail_run(*one_, run, std::nullopt, "enough");
  EXPECT_EQ(told(), 1) << "the next run may go on";
  retry_run(*one_, run, std::nullopt);
  EXPECT_EQ(told(), 1);
  FeedSink sink;
  sink.id = sink_.id;
  EXPECT_TRUE(pause_sink(*one_, sink, true));
  EXPECT_EQ(told(), 0);
  EXPECT_TRUE(pause_sink(*one_, sink, false));
  EXPECT_EQ(told(), 1);
}

TEST_F(GroupWakeTest, WhoIsFrozenAndListensIsHungUpOnAndNobodyElse) {
  auto frozen = PollConnection::open(connector(), "frozen", {});
  auto busy = PollConnection::open(connector(), "busy", {});
  auto awake = PollConnection::open(connector(), "awake", {});
  auto elsewhere = PollConnection::open(connector(), "elsewhere", {});
  frozen.lie_down(sink_);
  busy.lie_down(sink_);
  busy.get_up();
  elsewhere.lie_down(add_sink("other"));
  auto sweep = RecoveryConnection::open(connector(), "sweep", {});
  (void)sweep.recover(sink_);
  EXPECT_NO_THROW((void)frozen.work_left(sink_)) << "it has just looked";
  (void)sweep.recover(sink_, 0s);
  EXPECT_ANY_THROW((void)frozen.work_left(sink_));
  EXPECT_FALSE(frozen.is_open());
  EXPECT_ANY_THROW((void)busy.work_left(sink_)) << "it listens, though nobody is told for its sake";
  EXPECT_ANY_THROW((void)elsewhere.work_left(sink_)) << "its sink may have no other consumer";
  EXPECT_NO_THROW((void)awake.work_left(sink_));
}

TEST_F(GroupWakeTest, DoctorTellsWhoSleepsAndWhoIsFrozenInIt) {
  auto asleep = PollConnection::open(connector(), "asleep", {});
  auto awake = PollConnection::open(connector(), "awake", {});
  const auto look = [&](std::int64_t silent_ms) {
    const auto rows = one_->run<sql::DoctorSleepers>(silent_ms);
    const auto row = rows.one();
    EXPECT_LT(row.queue_usage, 0.1);
    return fmt::format("{} asleep, {} frozen: {} {}", row.sleeping, row.frozen,
                       row.frozen_pid.value_or(0) == asleep.backend_pid(), row.frozen_at.value_or("-"));
  };
  EXPECT_EQ(look(0), "0 asleep, 0 frozen: false -");
  asleep.lie_down(sink_);
  EXPECT_EQ(look(60'000), "1 asleep, 0 frozen: false -");
  // Its last answer is on its way here before its session counts as idle.
  test::wait_until([&] { return look(0) == "1 asleep, 1 frozen: true default/s"; }, "the session to be idle");
  one_->execute("SET ROLE weir_viewer");
  EXPECT_EQ(look(0), "1 asleep, 0 frozen: false -") << "it may not see how others stand";
  one_->execute("RESET ROLE");
  asleep.get_up();
  EXPECT_EQ(look(60'000), "0 asleep, 0 frozen: false -");
  test::wait_until([&] { return look(0) == "0 asleep, 1 frozen: true default/s"; }, "the session to be idle");
}

TEST_F(GroupWakeTest, AHintThatFailsLeavesWhatWasDoneDone) {
  // In the place of what tells others, for as long as this database lasts.
  one_->execute_script(
      "CREATE OR REPLACE FUNCTION weir.wake_sink(sink int4) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE "
      "EXCEPTION 'nobody is told'; END $$");
  submit(kGroup);
  sleep_at(sink_);
  OwnedGroup owned = own(sink_, Ownership::advisory);
  ASSERT_TRUE(owned.begin().batch);
  ASSERT_TRUE(owned.end({Ending::Kind::returned, std::nullopt}));
  EXPECT_NO_THROW({
    const GroupConnection free = std::move(owned).release();
    EXPECT_TRUE(free.is_open());
  });
  EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold"), 0);

  const int pid = [&] {
    OwnedGroup dead = own(sink_, Ownership::advisory);
    EXPECT_TRUE(dead.begin().batch);
    return dead.use([](pg::Session& session) { return session.backend_pid(); });
  }();
  test::wait_until_gone(connector(), pid);
  EXPECT_EQ(recover(sink_), 1U);
  FeedSink sink;
  sink.id = sink_.id;
  EXPECT_TRUE(pause_sink(*one_, sink, true));
  EXPECT_TRUE(pause_sink(*one_, sink, false));
}

TEST_F(GroupWakeTest, AConsumerThatLosesItsConnectionInItsSleepSleepsAgain) {
  const auto consumer = sleeper(inside_effect("s"));
  test::terminate_backend(connector(), backends("weir:poll:").at(0));
  ASSERT_TRUE(consumer->sleeps.wait(Deadline::after(20s)));
  submit(kGroup);
  expect_done();
  EXPECT_GE(consumer->counts().woken, 1);
  consumer->stop();
}

TEST_F(GroupWakeTest, AConsumerThatIsCutOffInItsSleepFindsWhatItDidNotHear) {
  test::TcpGate gate(test::TestServer::shared().port());
  Consumer consumer(std::make_shared<const pg::Connector>(gate.through(tcp_conninfo())), inside_effect("s"),
                    {.sink = "s", .poll = kSleep});
  consumer.sleeps.enable();
  consumer.start();
  ASSERT_EQ(consumer.sleeps.wait(Deadline::after(20s)), kSleep);
  const std::vector<int> before = backends("weir:poll:");
  ASSERT_EQ(before.size(), 1U);
  gate.refuse();
  gate.cut_all();
  test::wait_until_gone(connector(), before[0]);
  submit(kGroup);
  EXPECT_TRUE(backends("weir:poll:").empty()) << "nobody is there to be told";
  gate.open();
  expect_done();
  consumer.stop();
  EXPECT_EQ(consumer.counts().succeeded, 1);
  EXPECT_EQ(consumer.counts().woken, 0);
}

// Who waits out his sleep ends as well, half a minute later.
TEST_F(GroupWakeTest, AConsumerThatIsStoppedInItsSleepEndsAtOnce) {
  const auto consumer = sleeper(inside_effect("s"));
  auto ended = std::async(std::launch::async, [&] { consumer->stop(); });
  EXPECT_EQ(ended.wait_for(kLongestSleep / 2), std::future_status::ready);
  ended.get();
  EXPECT_EQ(consumer->counts().woken, 0);
}

}  // namespace
}  // namespace weir::group
