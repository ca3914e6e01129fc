// Sinks that work in the transaction of the batch's status: exactly once, whatever is lost.

#include <gtest/gtest.h>

#include "support/group_test.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class GroupInsideTest : public test::GroupTest, public ::testing::WithParamInterface<Ownership> {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    set_feed("max_attempts = 100");
    sink_ = add_sink("s");
  }
  ConsumerOptions options() const {
    return {.sink = "s", .concurrency = 1, .ownership = GetParam(), .poll = 20ms};
  }
  void expect_once(int batches) {
    EXPECT_EQ(number("SELECT count(*) FROM effect"), batches);
    EXPECT_EQ(number("SELECT count(DISTINCT idx) FROM effect"), batches);
    EXPECT_EQ(number("SELECT count(*) FROM weir.batch_attempt WHERE outcome = 'succeeded'"), batches);
    EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step"), 0);
  }
  /// Ends the group's session as soon as somebody holds it up there; work goes on afterwards.
  void kill_blocked_session() {
    std::vector<int> pids;
    test::wait_until([&] { return !(pids = backends("weir:group:")).empty(); }, "the group's session");
    test::wait_until_blocked(connector(), pids.front());
    test::terminate_backend(connector(), pids.front());
  }

  SinkDefinition sink_;
};

TEST_P(GroupInsideTest, ASessionThatEndsWhileTheSinkWorksLeavesNoEffect) {
  submit_run(kGroup, "r", 3);
  std::atomic<int> killed{0};
  work_off(
      [&] {
        auto once = options();
        once.once = true;
        return once;
      }(),
      inside([&](const Batch& batch, const Application& application) {
        affect(*application.session, "s", batch);
        if (batch.attempt == 1) {
          ++killed;
          test::terminate_backend(connector(), application.session->backend_pid());
        }
        return Outcome::done();
      }));
  EXPECT_EQ(killed, 3);
  EXPECT_EQ(effects("s"), "0 1 2");
  expect_once(3);
}

// Before the pin, at the pin, before and at COMMIT: held up by a trigger that waits for a lock of the test's.
TEST_P(GroupInsideTest, ASessionThatEndsAtAnyStepOfTheStatusIsMadeGoodForExactlyOnce) {
  one_->execute_script(
      "CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;"
      "CREATE TABLE step (name text)");
  const std::vector<std::string> phases{
      // begin_batch: the attempt is counted, or not
      "CREATE TRIGGER hold_up AFTER UPDATE ON weir.batch_step FOR EACH ROW WHEN (new.state = 'executing') "
      "EXECUTE FUNCTION public.hold_up()",
      // end_batch, in the transaction of the effect
      "CREATE TRIGGER hold_up AFTER DELETE ON weir.batch_step FOR EACH ROW EXECUTE FUNCTION public.hold_up()",
      // the sink
      "CREATE TRIGGER hold_up AFTER INSERT ON public.effect FOR EACH ROW EXECUTE FUNCTION public.hold_up()",
      // COMMIT
      "CREATE CONSTRAINT TRIGGER hold_up AFTER INSERT ON weir.batch_turn DEFERRABLE INITIALLY DEFERRED FOR "
      "EACH ROW EXECUTE FUNCTION public.hold_up()"};
  const std::vector<std::string> tables{"weir.batch_step", "weir.batch_step", "public.effect",
                                        "weir.batch_turn"};
  for (std::size_t phase = 0; phase < phases.size(); ++phase) {
    SCOPED_TRACE(phases[phase]);
    one_->execute("TRUNCATE effect, weir.batch_attempt");
    one_->execute(phases[phase]);
    submit(kGroup);
    const auto consumer = this->consumer(options(), inside_effect("s"));
    {
      pg::Session holder = session();
      holder.execute("SELECT pg_advisory_lock(4711)");
      consumer->start();
      kill_blocked_session();
      // Its next one is held up as well, until the trigger is gone.
      holder.execute("SELECT pg_advisory_unlock(4711)");
    }
    test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batch");
    consumer->stop();
    one_->execute("DROP TRIGGER hold_up ON " + tables[phase]);
    expect_once(1);
  }
}

TEST_P(GroupInsideTest, WhatOnlyADeferredConstraintFindsFailsTheBatch) {
  set_feed("max_attempts = 2");
  one_->execute_script(
      "CREATE TABLE parent (id int PRIMARY KEY);"
      "CREATE TABLE child (parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)");
  submit_run(kGroup, "r", 2);
  auto once = options();
  once.once = true;
  work_off(once, inside([&](const Batch& batch, const Application& application) {
             application.session->execute("INSERT INTO public.child VALUES ($1)", batch.idx);
             if (batch.idx == 0) application.session->execute("INSERT INTO public.parent VALUES (0)");
             return affect(*application.session, "s", batch);
           }));
  EXPECT_EQ(history("s"), "0/1 succeeded, 1/1 retry, 1/2 failed");
  EXPECT_EQ(effects("s"), "0");
  EXPECT_EQ(number("SELECT count(*) FROM child"), 1);
}

TEST_P(GroupInsideTest, ASinkThatEndsTheTransactionItselfHasFailed) {
  set_feed("max_attempts = 1");
  for (const char* end : {"COMMIT", "ROLLBACK", "COMMIT; BEGIN"}) {
    SCOPED_TRACE(end);
    one_->execute("TRUNCATE weir.batch_attempt");
    submit(kGroup);
    auto once = options();
    once.once = true;
    work_off(once, inside([&](const Batch&, const Application& application) {
               application.session->execute_script(end);
               return Outcome::done();
             }));
    EXPECT_EQ(history("s"), "0/1 failed");
    EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold"), 0);
  }
}

// Found in review: what the pin had written was kept then, and the lease never ended.
TEST_P(GroupInsideTest, ASinkThatCommitsAndDiesLosesTheGroupAllTheSame) {
  submit(kGroup);
  auto connection = GroupConnection::try_lock(this->connection(), sink_, kGroup, GetParam(), "me");
  ASSERT_TRUE(connection);
  ASSERT_TRUE(connection->begin().batch);
  connection->use([&](pg::Session& session) {
    session.execute("BEGIN");
    ASSERT_TRUE(connection->pin());
    session.execute("COMMIT");
    test::terminate_backend(connector(), session.backend_pid());
  });
  EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold WHERE expires_at > now() + interval '1 d'"), 0);
  expire_leases();
  EXPECT_EQ(recover(sink_), 1U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, GroupInsideTest, ::testing::Values(Ownership::advisory, Ownership::lease),
                         [](const auto& kind) {
                           return kind.param == Ownership::advisory ? "Advisory" : "Lease";
                         });

}  // namespace
}  // namespace weir::group
