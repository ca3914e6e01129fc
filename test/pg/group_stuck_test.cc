// Who is cut off, waits for somebody's lock, or fails again and again: nobody else is held up by it.

#include <future>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "group/admin.h"
#include "pg/transaction.h"
#include "support/errors.h"
#include "support/group_test.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class GroupStuckTest : public test::GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    sink_ = add_sink("s");
  }
  /// A payload that no buffer between here and the server takes in.
  void submit_large() {
    one_->execute(
        "SELECT weir.submit_batch('t', 'k', jsonb_build_object('x', (SELECT string_agg(md5(n::text), '') "
        "FROM generate_series(1, 300000) n)))");
  }
  /// So many sessions of a role wait for a lock.
  std::int64_t blocked(const std::string& role) {
    return number(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
        "current_database() AND application_name LIKE 'weir:" +
        role + ":%'");
  }
  /// As after the death of its owner in the middle of its next batch; its attempts as they are counted.
  void begin_and_die(const GroupKey& group) {
    auto owned = GroupConnection::try_lock(connection(), sink_, group, Ownership::lease, "dead");
    ASSERT_TRUE(owned);
    ASSERT_TRUE(owned->begin().batch);
    expire_leases();
  }
  static Outcome done(const Batch& /*batch*/, const Application& /*application*/) { return Outcome::done(); }

  SinkDefinition sink_;
};

class GroupCutOffTest : public GroupStuckTest, public ::testing::WithParamInterface<Ownership> {
 protected:
  void SetUp() override {
    GroupStuckTest::SetUp();
    set_feed("lease_ms = 1000");
    sink_ = find_sink(*one_, "default", "s");
  }
  test::TcpGate gate_{test::TestServer::shared().port()};
};

// The server was still sending when the network went, or the process was stopped: the transaction that had
// begun the batch held its rows for as long as that lasted, and no sweep took the group.
TEST_P(GroupCutOffTest, AConsumerThatIsCutOffWhileItsPayloadComesLosesItsGroup) {
  submit_large();
  std::atomic<int> calls{0};
  Consumer cut_off(std::make_shared<const pg::Connector>(gate_.through(tcp_conninfo())),
                   outside([&](const Batch&, const Application&) {
                     ++calls;
                     return Outcome::done();
                   }),
                   {.sink = "s", .concurrency = 1, .ownership = GetParam(), .drain = 0s});
  gate_.freeze_after(test::Way::to_client, std::uint64_t{1} << 20U);
  cut_off.start();
  gate_.wait_for(
      [](const test::TcpGate::Counts& counts) { return counts.to_client >= std::uint64_t{1} << 20U; },
      "the payload to come");
  const auto other = consumer({.sink = "s", .ownership = GetParam()}, outside_effect("s"));
  other->start();
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; },
                   "the other to have it");
  other->stop();
  gate_.open();
  cut_off.stop();
  EXPECT_EQ(history("s"), "0/1 lost, 0/2 succeeded");
  EXPECT_EQ(calls, 0);
}

// As programs of before began their batches, and as a payload may be stuck that is not large.
TEST_P(GroupCutOffTest, WhoIsStuckInTheTransactionThatBeginsABatchIsHungUpOn) {
  submit_large();
  const pg::Connector through(gate_.through(tcp_conninfo()));
  auto old = pg::PinnedSession::open(through, pg::Role::group, "old");
  old.use([&](pg::Session& session) {
    std::optional<std::int32_t> key;
    if (GetParam() == Ownership::advisory) {
      key = lock_key(sink_.id, kGroup).key;
      session.execute("SELECT pg_advisory_lock($1, $2)", lock_key(sink_.id, kGroup).space, *key);
    }
    session.execute("SELECT weir.take_group($1, 't', 'k', 'old#1', $2, 1000)", sink_.id, key);
  });
  gate_.freeze_after(test::Way::to_client, std::uint64_t{1} << 20U);
  auto begun = std::async(std::launch::async, [&] {
    old.hand_over();
    old.use([&](pg::Session& session) {
      session.execute(
          "/* weir:begin_batch */ SELECT * FROM weir.begin_batch($1, 't', 'k', 'old#1', 1000, 3, true)",
          sink_.id);
    });
  });
  gate_.wait_for(
      [](const test::TcpGate::Counts& counts) { return counts.to_client >= std::uint64_t{1} << 20U; },
      "the payload to come");
  std::size_t recovered = 0;
  test::wait_until([&] { return (recovered += recover(sink_)) > 0; }, "a sweep to take the group");
  gate_.open();
  EXPECT_THROW(begun.get(), pg::ConnectionLost);
  EXPECT_EQ(text("SELECT state || attempt FROM weir.batch_step"), "pending0");
}

INSTANTIATE_TEST_SUITE_P(Kinds, GroupCutOffTest, ::testing::Values(Ownership::advisory, Ownership::lease),
                         [](const auto& kind) {
                           return kind.param == Ownership::advisory ? "Advisory" : "Lease";
                         });

TEST_F(GroupStuckTest, ALargePayloadComesAsItIsAlsoAfterAnotherBatch) {
  for (int i = 0; i < 2; ++i) submit_large();
  submit(kGroup, {.payload = "{\"small\": true}"});
  std::vector<std::size_t> sizes;
  const auto note = [&](const Batch& batch, const Application&) {
    sizes.push_back(batch.payload.size());
    return Outcome::done();
  };
  work_off({.sink = "s", .ownership = Ownership::lease}, outside(note));
  EXPECT_EQ(sizes, (std::vector<std::size_t>{9'600'009, 9'600'009, 15}));
  sizes.clear();
  for (int i = 0; i < 2; ++i) submit_large();
  work_off({.sink = "s"}, inside(note));
  EXPECT_EQ(sizes, (std::vector<std::size_t>{9'600'009, 9'600'009}));
}

// Ctrl-C had to wait for the locks of others, and the drain began only then.
TEST_F(GroupStuckTest, StoppingDoesNotWaitForALookOrASweepThatWaitsForALock) {
  const auto consumer = this->consumer({.sink = "s", .drain = 2s}, outside(done));
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute("LOCK TABLE weir.group_hold IN ACCESS EXCLUSIVE MODE");
  consumer->start();
  test::wait_until([&] { return blocked("poll") == 1 && blocked("recovery") == 1; }, "both to wait");
  auto stopped = std::async(std::launch::async, [&] { consumer->stop(); });
  EXPECT_EQ(stopped.wait_for(20s), std::future_status::ready);
  transaction.rollback();
  stopped.get();
}

TEST_F(GroupStuckTest, StoppingDoesNotWaitForLongForTheEndOfABatchThatWaitsForALock) {
  submit(kGroup);
  test::Gate gate;
  const auto consumer =
      this->consumer({.sink = "s", .drain = 0s}, outside([&](const Batch&, const Application& application) {
                       gate.pass(application.stop);
                       return Outcome::done();
                     }));
  consumer->start();
  gate.wait_for(1);
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute("LOCK TABLE weir.group_hold IN ACCESS EXCLUSIVE MODE");
  gate.open();
  test::wait_until([&] { return blocked("group") == 1; }, "the end to wait");
  auto stopped = std::async(std::launch::async, [&] { consumer->stop(); });
  EXPECT_EQ(stopped.wait_for(40s), std::future_status::ready);
  transaction.rollback();
  stopped.get();
  recover(sink_);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step WHERE state = 'executing'"),
            number("SELECT count(*) FROM weir.group_hold"))
      << "what is left to the sweep is known";
}

// It was begun again and again, as fast as the server could.
TEST_F(GroupStuckTest, ABatchWhosePayloadIsGoneFailsWithItsRunAndTheGroupGoesOn) {
  submit_run(kGroup, "r", 2);
  submit(kGroup);
  one_->execute("DELETE FROM weir.batch WHERE run_id = 1 AND idx = 0");
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(history("s"), "0/1 failed, 1/0 failed, 0/1 succeeded");
  EXPECT_EQ(text("SELECT error FROM weir.batch_turn WHERE failed"), "the payload of batch 0 is gone");
  EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold"), 0);
}

TEST_F(GroupStuckTest, APayloadThatGoesAfterItsBatchHasBegunFailsItToo) {
  submit_large();
  submit(kGroup);
  one_->execute_script(
      "CREATE FUNCTION public.forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM weir.batch "
      "WHERE "
      "run_id = 1; RETURN NULL; END $$;"
      "CREATE CONSTRAINT TRIGGER forget AFTER UPDATE ON weir.group_hold DEFERRABLE INITIALLY DEFERRED FOR "
      "EACH "
      "ROW EXECUTE FUNCTION public.forget()");
  work_off({.sink = "s"}, outside_effect("s"));
  EXPECT_EQ(history("s"), "0/1 failed, 0/1 succeeded");
  EXPECT_EQ(text("SELECT error FROM weir.batch_turn WHERE failed"), "the payload of batch 0 is gone");
}

// Each success of another group in the slot began its pauses anew; and that one gave its slot up for nobody.
TEST_F(GroupStuckTest, AGroupThatCannotBeBegunIsTriedAgainLessAndLessOften) {
  one_->execute_script(
      "CREATE SEQUENCE public.tries;"
      "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
      "nextval('public.tries'); "
      "RAISE EXCEPTION 'not this one'; END $$;"
      "CREATE TRIGGER refuse BEFORE UPDATE ON weir.batch_step FOR EACH ROW WHEN (new.key = 'bad') EXECUTE "
      "FUNCTION public.refuse();"
      "GRANT ALL ON SEQUENCE public.tries TO PUBLIC");
  submit({"t", "bad"});
  submit({"t", "good"}, {.run = "r"});
  std::set<std::string> turns;  // of the good one: each time that it is had its owner has another name
  const auto consumer = this->consumer(
      {.sink = "s", .concurrency = 1, .poll = 10ms}, outside([&](const Batch&, const Application&) {
        pg::Session session = connector().connect(pg::Role::api, "producer");
        session.execute("SELECT weir.submit_batch('t', 'good', '{}', 'r')");
        turns.insert(
            session.execute("SELECT owner FROM weir.group_hold WHERE key = 'good'")[0].get<std::string>(0));
        return Outcome::done();
      }));
  const SteadyTime begin = steady_now();
  consumer->start();
  test::wait_until([&] { return number("SELECT last_value FROM public.tries") >= 8; }, "eight tries", 120s);
  // 100 ms, 200 ms, .. 6.4 s, each a fifth shorter by chance.
  EXPECT_GT(steady_now() - begin, 5s);
  EXPECT_GT(consumer->counts().succeeded, 8);
  consumer->stop();
  // It gave its slot up for the other one's tries, and never for one that is left alone: every 2 s, it was.
  EXPECT_LE(turns.size(), 9U);
}

// Each group had a pause of its own, and the slots had none: of many groups they made a storm of connections.
TEST_F(GroupStuckTest, WhereAllGroupsFailTheSlotsRest) {
  one_->execute_script(
      "CREATE SEQUENCE public.tries;"
      "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
      "nextval('public.tries'); "
      "RAISE EXCEPTION 'none of them'; END $$;"
      "CREATE TRIGGER refuse BEFORE UPDATE ON weir.batch_step FOR EACH ROW EXECUTE FUNCTION public.refuse();"
      "GRANT ALL ON SEQUENCE public.tries TO PUBLIC");
  one_->execute("SELECT weir.submit_batch('t', 'k' || n, '{}') FROM generate_series(1, 200) n");
  const test::TcpGate gate(test::TestServer::shared().port());
  Consumer consumer(std::make_shared<const pg::Connector>(gate.through(tcp_conninfo())), outside(done),
                    {.sink = "s", .concurrency = 2, .poll = 10ms});
  consumer.start();
  test::wait_until([&] { return number("SELECT last_value FROM public.tries") >= 6; }, "six tries");
  const SteadyTime begin = steady_now();
  test::wait_until([&] { return steady_now() - begin > 3s; }, "the time in which there were hundreds");
  consumer.stop();
  // Of each slot's tries the first three come at once; the tenth comes after 25 s of rest.
  EXPECT_LE(number("SELECT last_value FROM public.tries"), 20);
  EXPECT_LE(gate.counts().accepted, 60U) << "two for each try, and those of the consumer";
  EXPECT_EQ(consumer.counts().succeeded, 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step WHERE state = 'pending'"), 200);
}

// One sweep for all groups waited for somebody's lock on one batch, and the fleet with it.
TEST_F(GroupStuckTest, ASweepDoesNotWaitForABatchThatSomebodyHasLocked) {
  for (const char* key : {"1", "2", "3"}) {
    submit({"t", key});
    begin_and_die({"t", key});
  }
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute("SELECT FROM weir.batch_step WHERE key = '1' FOR UPDATE");
  EXPECT_EQ(recover(sink_), 2U);
  EXPECT_EQ(
      text("SELECT key || state FROM weir.group_hold JOIN weir.batch_step USING (sink_id, tenant, key)"),
      "1executing");
  transaction.rollback();
  EXPECT_EQ(recover(sink_), 1U);
  EXPECT_EQ(history("s"), "0/1 lost, 0/1 lost, 0/1 lost");
}

TEST_F(GroupStuckTest, ASweepDoesNotWaitForWhatSomebodyHasLockedAtTheNextSink) {
  add_sink("second", "s");
  set_feed("max_attempts = 1");
  sink_ = find_sink(*one_, "default", "s");
  submit_run({"t", "1"}, "r", 2);
  {
    auto owned = GroupConnection::try_lock(connection(), sink_, {"t", "1"}, Ownership::lease, "dead");
    ASSERT_TRUE(owned);
    ASSERT_TRUE(owned->begin().batch);
    ASSERT_TRUE(owned->end_and_begin(true));
  }
  submit({"t", "2"});
  begin_and_die({"t", "2"});
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute(
      "SELECT FROM weir.batch_step s JOIN weir.feed_sink k ON k.id = s.sink_id WHERE k.name = 'second' FOR "
      "UPDATE OF s");
  EXPECT_EQ(recover(sink_), 1U);
  EXPECT_EQ(text("SELECT key FROM weir.group_hold"), "1");
  transaction.rollback();
  EXPECT_EQ(recover(sink_), 1U);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_turn WHERE failed AND run_id = 1"), 2);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step"), 0);
}

// Each of them cost its 100 ms of one statement, which was undone as a whole when it had taken too long.
TEST_F(GroupStuckTest, ASweepGoesOnBehindManyThatAreBlocked) {
  constexpr int kBlocked = 150;
  one_->execute("SELECT weir.submit_batch('t', 'k' || n, '{}') FROM generate_series(1, $1) n", kBlocked);
  one_->execute(
      "SELECT weir.take_group($1, 't', 'k' || n, 'dead', NULL, 60000) FROM generate_series(1, $2) n",
      sink_.id, kBlocked);
  one_->execute(
      "SELECT FROM generate_series(1, $2) n CROSS JOIN LATERAL weir.begin_batch($1, 't', 'k' || n, 'dead', "
      "60000, 1, false) b",
      sink_.id, kBlocked);
  one_->execute("SELECT weir.take_group($1, 't', 'z', 'dead', NULL, 60000)", sink_.id);
  set_feed("max_attempts = 1");
  sink_ = find_sink(*one_, "default", "s");
  expire_leases();
  ASSERT_EQ(number("SELECT count(*) FROM weir.batch_step WHERE state = 'executing'"), kBlocked);
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute("LOCK TABLE weir.batch_turn IN SHARE MODE");  // their runs are to fail, and cannot
  pg::Connector::Options impatient = connector().options();
  impatient.session.timeout = 10s;
  auto sweeper = RecoveryConnection::open(pg::Connector(connector().conninfo(), impatient), "test", {});
  EXPECT_EQ(sweeper.recover(sink_).groups, 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold"), kBlocked);
  transaction.rollback();
  EXPECT_EQ(recover(sink_), static_cast<std::size_t>(kBlocked));
}

TEST_F(GroupStuckTest, WhoEndsARunByHandIsToldOfWhomHeWaitsFor) {
  submit(kGroup);
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute("SELECT FROM weir.batch_step FOR UPDATE");
  const Error error = test::error_of([&] { fail_run(*one_, 1, std::nullopt, "enough"); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_TRUE(test::has(error.what(), "locked for 10.0 s")) << error.what();
  EXPECT_TRUE(test::has(error.remedy(), "pg_stat_activity")) << error.remedy();
  transaction.rollback();
  EXPECT_EQ(fail_run(*one_, 1, std::nullopt, "enough").size(), 1U);
}

// Sinks are other people's code.
TEST_F(GroupStuckTest, WhatIsThrownThatIsNoExceptionFailsItsBatchAndNothingElse) {
  for (const bool in_session : {true, false}) {
    submit(kGroup);
    submit({"t", "other"});
    const auto thrower = [](const Batch& batch, const Application&) -> Outcome {
      if (batch.group == kGroup) throw 7;
      return Outcome::done();
    };
    work_off({.sink = "s"}, in_session ? inside(thrower) : outside(thrower));
    EXPECT_EQ(text("SELECT error FROM weir.batch_turn WHERE failed"),
              "failed 3 times: the sink threw something that is no exception");
    one_->execute("DELETE FROM weir.batch_turn");
  }
  submit(kGroup);
  std::atomic<int> made{0};
  const SinkFactory real = inside_effect("s");
  work_off({.sink = "s", .concurrency = 1}, [&]() -> std::unique_ptr<Sink> {
    if (++made == 1) throw 7;
    return real();
  });
  EXPECT_EQ(effects("s"), "0");
}

}  // namespace
}  // namespace weir::group
