// What becomes of batches that fail, at their sink and at the sinks behind it.

#include <gtest/gtest.h>

#include "support/group_test.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

/// Inside or outside of the batch's transaction: what is written of a failure is the same.
class GroupFailureTest : public test::GroupTest, public ::testing::WithParamInterface<Sink::Place> {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    sink_ = add_sink("s");
  }
  static SinkFactory by(Function function) {
    return GetParam() == Sink::Place::inside ? inside(std::move(function)) : outside(std::move(function));
  }
  /// It has an effect, and then does what `function` says.
  SinkFactory effect_and(const std::string& sink, std::function<Outcome(const Batch&)> function) {
    return by(
        [this, sink, function = std::move(function)](const Batch& batch, const Application& application) {
          if (application.session != nullptr) {
            affect(*application.session, sink, batch);
          } else {
            pg::Session session = connector().connect(pg::Role::api, "effect");
            affect(session, sink, batch);
          }
          return function(batch);
        });
  }

  SinkDefinition sink_;
};

TEST_P(GroupFailureTest, ABatchThatFailsIsTriedAgainInItsPlaceAndThenItsRunFails) {
  submit_run(kGroup, "r", 3);
  submit(kGroup);
  work_off({.sink = "s"}, effect_and("s", [](const Batch& batch) {
             return batch.run == "r" && batch.idx == 1 ? Outcome::failed("no") : Outcome::done();
           }));
  EXPECT_EQ(history("s"), "0/1 succeeded, 1/1 retry, 1/2 retry, 1/3 failed, 2/0 failed, 0/1 succeeded");
  EXPECT_EQ(text("SELECT error FROM weir.batch_turn WHERE failed"), "failed 3 times: no");
  EXPECT_EQ(effects("s"), GetParam() == Sink::Place::inside ? "0 0" : "0 1 1 1 0");
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step"), 0);
}

TEST_P(GroupFailureTest, TheBackoffGrowsByTheAttempt) {
  set_feed("backoff_ms = 100000");
  submit(kGroup);
  std::atomic<int> calls{0};
  const auto consumer = this->consumer({.sink = "s", .poll = 20ms}, by([&](const Batch&, const Application&) {
                                         ++calls;
                                         return Outcome::failed("no");
                                       }));
  consumer->start();
  for (int attempt = 1; attempt <= 2; ++attempt) {
    test::wait_until(
        [&] {
          return number(
                     "SELECT count(*) FROM weir.batch_step WHERE state = 'waiting_retry' AND "
                     "attempt = " +
                     std::to_string(attempt)) == 1;
        },
        "an attempt");
    EXPECT_NEAR(static_cast<double>(
                    number("SELECT extract(epoch FROM next_at - changed_at) * 1000 FROM weir.batch_step")),
                100000.0 * attempt, 1000.0);
    one_->execute("UPDATE weir.batch_step SET next_at = clock_timestamp()");
  }
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the end");
  consumer->stop();
  EXPECT_EQ(calls, 3);
}

TEST_P(GroupFailureTest, WhatIsDiscardedFailsAtOnce) {
  submit_run(kGroup, "r", 2);
  work_off({.sink = "s"}, by([](const Batch&, const Application&) { return Outcome::discarded("never"); }));
  EXPECT_EQ(history("s"), "0/1 failed, 1/0 failed");
}

TEST_P(GroupFailureTest, WhatIsSnoozedIsNotCounted) {
  submit(kGroup);
  std::atomic<int> calls{0};
  work_off({.sink = "s", .poll = 20ms}, by([&](const Batch& batch, const Application&) {
             EXPECT_EQ(batch.attempt, 1);
             EXPECT_EQ(batch.error, calls == 0 ? "" : "not yet");
             return ++calls < 5 ? Outcome::snoozed(1ms, "not yet") : Outcome::done();
           }));
  EXPECT_EQ(history("s"), "0/1 returned, 0/1 returned, 0/1 returned, 0/1 returned, 0/1 succeeded");
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_attempt WHERE error = 'not yet'"), 4);
}

TEST_P(GroupFailureTest, ASinkThatThrowsKillsNothingElse) {
  for (int i = 0; i < 8; ++i) submit({"t", std::to_string(i)});
  work_off({.sink = "s", .concurrency = 4}, effect_and("s", [](const Batch& batch) -> Outcome {
             if (batch.group.key == "3") throw std::runtime_error("thrown");
             return Outcome::done();
           }));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_attempt WHERE outcome = 'succeeded'"), 7);
  EXPECT_EQ(text("SELECT error FROM weir.batch_turn WHERE failed"), "failed 3 times: thrown");
}

TEST_P(GroupFailureTest, TheSecondSinkFollowsTheFirstWithAttemptsOfItsOwn) {
  add_sink("second", "s");
  submit_run(kGroup, "r", 2);
  work_off({.sink = "second"}, effect_and("second", [](const Batch&) { return Outcome::done(); }));
  EXPECT_EQ(effects("second"), "");
  work_off({.sink = "s"}, effect_and("s", [](const Batch& batch) {
             return batch.attempt < 3 ? Outcome::failed("no") : Outcome::done();
           }));
  work_off({.sink = "second"}, effect_and("second", [](const Batch&) { return Outcome::done(); }));
  EXPECT_EQ(effects("second"), "0 1");
  EXPECT_EQ(history("second"), "0/1 succeeded, 1/1 succeeded");
}

TEST_P(GroupFailureTest, AFailureFailsWhatIsOpenBehindItAndNothingThatHasEnded) {
  add_sink("second", "s");
  submit(kGroup, {.run = "r", .idx = 0});
  work_off({.sink = "s"}, by([](const Batch&, const Application&) { return Outcome::done(); }));
  work_off({.sink = "second"}, by([](const Batch&, const Application&) { return Outcome::done(); }));
  for (const int idx : {1, 2, 3}) submit(kGroup, {.run = "r", .idx = idx});
  work_off({.sink = "s"}, by([](const Batch& batch, const Application&) {
             return batch.idx == 2 ? Outcome::discarded("never") : Outcome::done();
           }));
  EXPECT_EQ(history("s"), "0/1 succeeded, 1/1 succeeded, 2/1 failed, 3/0 failed");
  EXPECT_EQ(history("second"), "0/1 succeeded, 1/0 failed");
  // What comes later of the run fails too, at both.
  submit(kGroup, {.run = "r", .idx = 4});
  work_off({.sink = "s"}, by([](const Batch&, const Application&) { return Outcome::done(); }));
  EXPECT_EQ(history("s"), "0/1 succeeded, 1/1 succeeded, 2/1 failed, 3/0 failed, 4/0 failed");
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step"), 0);
}

// The group of the second sink is free at once, not when its lease ends. Found in review.
TEST_P(GroupFailureTest, WhatIsExecutingBehindAFailureIsRefusedAndItsGroupIsFree) {
  const SinkDefinition second = add_sink("second", "s");
  submit_run(kGroup, "r", 2);
  std::atomic<bool> fail{false};
  const auto first = by([&](const Batch& batch, const Application&) {
    if (batch.idx == 0) return Outcome::done();
    return fail ? Outcome::discarded("never") : Outcome::snoozed(1h);
  });
  const auto early = this->consumer({.sink = "s"}, first);
  early->start();
  test::wait_until(
      [&] { return number("SELECT count(*) FROM weir.batch_step WHERE state = 'waiting_retry'") == 1; },
      "the first sink to wait");
  early->stop();
  test::Gate gate;
  const auto late = this->consumer({.sink = "second", .ownership = Ownership::lease},
                                   effect_and("second", [&](const Batch&) {
                                     gate.pass();
                                     return Outcome::done();
                                   }));
  late->start();
  gate.wait_for(1);
  fail = true;
  one_->execute("UPDATE weir.batch_step SET next_at = clock_timestamp() WHERE state = 'waiting_retry'");
  work_off({.sink = "s"}, first);
  EXPECT_EQ(history("second"), "0/1 failed");
  gate.open();
  test::wait_until([&] { return number("SELECT count(*) FROM weir.group_hold") == 0; },
                   "the group to be free");
  late->stop();
  EXPECT_EQ(history("second"), "0/1 failed");
  EXPECT_EQ(late->counts().succeeded, 0);
  EXPECT_EQ(effects("second"), GetParam() == Sink::Place::inside ? "" : "0");
}

INSTANTIATE_TEST_SUITE_P(Places, GroupFailureTest,
                         ::testing::Values(Sink::Place::inside, Sink::Place::outside), [](const auto& place) {
                           return place.param == Sink::Place::inside ? "Inside" : "Outside";
                         });

}  // namespace
}  // namespace weir::group
