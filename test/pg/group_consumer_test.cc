// A consumer's connections, its end, and what it does about others that are gone, frozen or greedy.

#include <algorithm>
#include <optional>

#include <gtest/gtest.h>

#include "group/admin.h"
#include "pg/transaction.h"
#include "support/errors.h"
#include "support/group_test.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class GroupConsumerTest : public test::GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    sink_ = add_sink("s");
  }
  void submit_groups(int groups, const std::string& tenant = "t") {
    for (int i = 0; i < groups; ++i) submit({tenant, std::to_string(i)});
  }
  /// Sinks that wait at the gate, in the group's session or outside of it.
  SinkFactory waiting(test::Gate& gate, bool in_session) {
    const auto function = [&gate](const Batch&, const Application& application) {
      return gate.pass(application.stop) ? Outcome::done() : Outcome::returned();
    };
    return in_session ? inside(function) : outside(function);
  }

  SinkDefinition sink_;
};

TEST_F(GroupConsumerTest, EachGroupInFlightHasAConnectionOfItsOwnAndNeverThePollsOrTheSweeps) {
  for (const bool in_session : {true, false}) {
    submit_groups(6);
    test::Gate gate;
    const auto consumer = this->consumer({.sink = "s", .concurrency = 4}, waiting(gate, in_session));
    consumer->start();
    gate.wait_for(4);
    test::wait_until([&] { return backends("weir:recovery:").size() == 1; }, "the sweep's connection");
    EXPECT_EQ(backends("weir:poll:").size(), 1U);
    EXPECT_EQ(backends("weir:group:").size(), 4U);
    test::wait_until([&] { return backends("weir:api:").size() == 1; }, "no connection but the test's");
    // Locks are on the groups' connections only, one each, and each has written down its own.
    EXPECT_EQ(number("SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE "
                     "l.locktype = 'advisory' AND l.objsubid = 2 AND a.application_name LIKE 'weir:group:%'"),
              4);
    EXPECT_EQ(number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"), 4);
    EXPECT_EQ(
        number("SELECT count(DISTINCT pid) FROM weir.group_hold JOIN pg_stat_activity a USING (pid) WHERE "
               "a.application_name LIKE 'weir:group:%'"),
        4);
    gate.open();
    test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batches");
    test::wait_until([&] { return backends("weir:group:").empty(); }, "the groups' connections to be closed");
    EXPECT_EQ(backends("weir:poll:").size(), 1U);
    consumer->stop();
    test::wait_until([&] { return backends("weir:poll:").empty() && backends("weir:recovery:").empty(); },
                     "the others to be closed");
  }
}

TEST_F(GroupConsumerTest, AConsumerThatTheServerDoesNotGrantItsConnectionsIsRefusedWithTheArithmetic) {
  const auto consumer = this->consumer({.sink = "s", .concurrency = 5000}, inside_effect("s"));
  const Error error = test::error_of([&] { consumer->start(); });
  EXPECT_TRUE(test::has(std::string(error.what()) + error.remedy(), "poll 1 + recovery 1 + group 5000"))
      << error.what() << error.remedy();
}

TEST_F(GroupConsumerTest, StoppingWaitsForWhatRuns) {
  submit_run(kGroup, "r", 2);
  for (const bool in_session : {true, false}) {
    test::Gate gate;
    const auto consumer = this->consumer({.sink = "s"}, waiting(gate, in_session));
    consumer->start();
    gate.wait_for(1);
    std::jthread opener([&] {
      pg::Session look = session();
      const auto polls = [&] {
        return look
            .execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE "
                "'weir:poll:%'")
            .rows();
      };
      test::wait_until([&] { return polls() == 0; }, "the poll to end");
      gate.open();
    });
    consumer->stop();
    opener.join();
    EXPECT_EQ(consumer->counts().succeeded, 1);  // and the second one was not begun
  }
  EXPECT_EQ(history("s"), "0/1 succeeded, 1/1 succeeded");
}

TEST_F(GroupConsumerTest, WhatIsBrokenOffAtTheEndOfTheDrainIsHandedBackAndDoesNotCount) {
  submit(kGroup);
  for (const bool in_session : {true, false}) {
    test::Gate gate;
    const auto consumer = this->consumer({.sink = "s", .drain = 0s}, waiting(gate, in_session));
    consumer->start();
    gate.wait_for(1);
    consumer->stop();
    EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step WHERE state = 'pending' AND attempt = 0"), 1);
    EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold"), 0);
  }
  EXPECT_EQ(history("s"), "0/1 returned, 0/1 returned");
}

// Incident 7.4: what is broken off in the middle of a statement is told by another connection.
TEST_F(GroupConsumerTest, AStatementThatIsBrokenOffDoesNotLeaveTheGroupToItsLease) {
  submit(kGroup);
  for (const Ownership ownership : {Ownership::advisory, Ownership::lease}) {
    test::Gate gate;
    const auto consumer = this->consumer({.sink = "s", .ownership = ownership, .drain = 0s},
                                         inside([&](const Batch&, const Application& application) {
                                           std::jthread told([&] { gate.pass(application.stop); });
                                           application.session->execute("SELECT pg_sleep(60)");
                                           return Outcome::done();
                                         }));
    consumer->start();
    gate.wait_for(1);
    test::wait_until_active(connector(), backends("weir:group:").front());
    consumer->stop();
    EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold"), 0);
    EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step WHERE state = 'pending' AND attempt = 0"), 1);
  }
}

// Incidents 7.4 and 7.8: the group's connection goes while an outside sink works. The heartbeat finds that,
// the sink is told, and the group is free long before its lease ends.
TEST_F(GroupConsumerTest, AConnectionThatIsLostUnderAnOutsideSinkFreesItsGroupAtOnce) {
  set_feed("lease_ms = 6000");
  submit(kGroup);
  test::Gate gate;
  std::atomic<int> calls{0};
  const auto consumer = this->consumer({.sink = "s", .ownership = Ownership::lease},
                                       outside([&](const Batch&, const Application& application) {
                                         if (++calls > 1) return Outcome::done();
                                         EXPECT_FALSE(gate.pass(application.stop));
                                         EXPECT_THROW(application.verify(), OwnershipLost);
                                         return Outcome::done();
                                       }));
  consumer->start();
  gate.wait_for(1);
  test::terminate_backend(connector(), backends("weir:group:").front());
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batch");
  consumer->stop();
  EXPECT_EQ(history("s"), "0/1 retry, 0/2 succeeded");
}

// Incident 7.3: many batches, each shorter than the heartbeat, together longer than the lease. Each begins it
// anew; that they would outlast it is not waited for.
TEST_F(GroupConsumerTest, ShortBatchesKeepTheirGroupAsLongAsThereAreAny) {
  submit_run(kGroup, "r", 30);
  std::optional<WallTime> before;
  work_off({.sink = "s", .ownership = Ownership::lease}, outside([&](const Batch& batch, const Application&) {
             pg::Session session = this->session();
             const pg::Result hold = session.execute("SELECT expires_at FROM weir.group_hold");
             const auto expires_at = hold[0].get<WallTime>(0);
             if (before) {
               EXPECT_GT(expires_at, *before) << batch.idx;
             }
             before = expires_at;
             return Outcome::done();
           }));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_attempt WHERE outcome = 'succeeded'"), 30);
  EXPECT_EQ(number("SELECT count(DISTINCT owner) FROM weir.batch_attempt"), 1);
}

// Incident 7.5: what somebody has is outside of everybody's window.
TEST_F(GroupConsumerTest, GroupsThatAreHeldTakeUpNoPlaceAmongTheCandidates) {
  submit_groups(20);
  one_->execute(
      "INSERT INTO weir.group_hold (sink_id, tenant, key, owner, expires_at) SELECT $1, 't', n::text, "
      "'other', "
      "'infinity' FROM generate_series(0, 17) n",
      sink_.id);
  auto poll = PollConnection::open(connector(), "test", {});
  EXPECT_EQ(poll.candidates(sink_, 2), (std::vector<GroupKey>{{"t", "18"}, {"t", "19"}}));
}

// Incidents 7.1 and 7.6: what was looked up long ago is looked up again by who has the group.
TEST_F(GroupConsumerTest, CandidatesOfThePastAreBegunOnlyAsTheyAreNow) {
  submit(kGroup);
  auto poll = PollConnection::open(connector(), "test", {});
  ASSERT_EQ(poll.candidates(sink_, 1).size(), 1U);
  work_off({.sink = "s"}, inside_effect("s"));
  auto late = GroupConnection::try_lock(connection(), sink_, kGroup, Ownership::lease, "late");
  ASSERT_TRUE(late);
  EXPECT_EQ(late->begin().state, OwnedGroup::Begun::State::none);
  // The lease is as long as any other: it begins when the group is taken, and a batch begins it anew.
  EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold WHERE expires_at > now() + interval '50 s'"), 1);
  EXPECT_EQ(effects("s"), "0");
}

// Incident 7.2: sweeps of two consumers and the owners of many groups, in any order.
TEST_F(GroupConsumerTest, ManyConsumersOfManyGroupsDoNotDeadlock) {
  submit_groups(60);
  const std::int64_t before =
      number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
  std::vector<std::unique_ptr<Consumer>> consumers;
  for (int i = 0; i < 3; ++i) {
    consumers.push_back(consumer({.sink = "s", .concurrency = 4, .poll = 10ms}, inside_effect("s")));
    consumers.back()->start();
  }
  std::jthread sweeps([&](const std::stop_token& stop) {
    auto recovery = RecoveryConnection::open(connector(), "test", {});
    while (!stop.stop_requested()) recovery.recover(sink_);
  });
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batches");
  sweeps.request_stop();
  sweeps.join();
  for (const auto& one : consumers) one->stop();
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 60);
  EXPECT_EQ(number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), before);
}

TEST_F(GroupConsumerTest, ATenantWithNineTenthsOfTheGroupsDoesNotHoldUpTheOthers) {
  submit_groups(90, "big");
  for (int i = 0; i < 10; ++i) submit({"small" + std::to_string(i), "k"});
  work_off({.sink = "s", .concurrency = 4}, inside_effect("s"));
  // Each small one has its turn in the first round or two, whenever it came.
  EXPECT_LT(
      number("SELECT max(n) FROM (SELECT tenant, row_number() OVER (ORDER BY id) AS n FROM effect) e WHERE "
             "tenant LIKE 'small%'"),
      45);
}

// Found in review: with all slots in use nobody looked, so nobody knew that others wait.
TEST_F(GroupConsumerTest, AGroupThatAlwaysHasMoreLetsOthersHaveTheSlot) {
  submit({"a", "endless"}, {.run = "r"});
  std::atomic<bool> other{false};
  std::atomic<int> calls{0};
  const auto consumer = this->consumer(
      {.sink = "s", .concurrency = 1, .poll = 50ms}, outside([&](const Batch& batch, const Application&) {
        if (batch.group.key != "endless") {
          other = true;
        } else if (!other) {
          pg::Session session = connector().connect(pg::Role::api, "producer");
          session.execute("SELECT weir.submit_batch('a', 'endless', '{}', 'r')");
          if (++calls == 3) session.execute("SELECT weir.submit_batch('b', 'other', '{}')");
        }
        return Outcome::done();
      }));
  consumer->start();
  test::wait_until([&] { return other.load(); }, "the other group's turn");
  consumer->stop();
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_attempt WHERE outcome = 'succeeded' AND run_id > 1"), 1);
}

TEST_F(GroupConsumerTest, AFrozenOwnerIsHungUpOnAlsoBeforeItHasWrittenAnythingDown) {
  auto owned = GroupConnection::try_lock(connection(), sink_, kGroup, Ownership::advisory, "frozen");
  ASSERT_TRUE(owned);
  auto lock = pg::GroupLock::try_acquire(pg::PinnedSession::open(connector(), pg::Role::group, "frozen"),
                                         lock_key(sink_.id, {"t", "other"}));
  ASSERT_TRUE(lock);
  EXPECT_EQ(recover(sink_), 0U);
  set_feed("lease_ms = 1000");
  const SinkDefinition sink = find_sink(*one_, "default", "s");
  expire_leases();
  std::size_t recovered = 0;
  test::wait_until(
      [&] {
        recovered += recover(sink);
        return number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2") == 0;
      },
      "sweeps to hang up on both");
  recovered += recover(sink);
  EXPECT_EQ(recovered, 1U);
  EXPECT_THROW((void)owned->renew(), pg::Error);
}

// Found by a new user: a sink that hangs kept its group though its batch had been failed by hand.
TEST_F(GroupConsumerTest, ABatchThatIsFailedByHandEndsItsSinkAndFreesTheGroup) {
  set_feed("lease_ms = 9000");
  submit(kGroup);
  submit(kGroup);
  test::Gate gate;
  const auto consumer =
      this->consumer({.sink = "s", .concurrency = 1, .poll = 10ms},
                     outside([&](const Batch& batch, const Application& application) {
                       if (batch.run_id == 1)
                         return gate.pass(application.stop) ? Outcome::done() : Outcome::returned();
                       return Outcome::done();
                     }));
  consumer->start();
  gate.wait_for(1);
  fail_run(*one_, 1, std::nullopt, "enough");
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the next run");
  consumer->stop();
  EXPECT_EQ(history("s"), "0/1 failed, 0/1 succeeded");
  EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold"), 0);
}

}  // namespace
}  // namespace weir::group
