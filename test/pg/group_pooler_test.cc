// Groups through pgbouncer in transaction mode: owned by lease, with no state left in any session.

#include <optional>

#include <gtest/gtest.h>

#include "group/consumer.h"
#include "group/sinks/sql_sink.h"
#include "support/errors.h"
#include "support/group_test.h"
#include "support/pgbouncer.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;

class GroupPoolerTest : public test::GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    sink_ = add_sink("s");
    pg::Connector::Options options;
    options.session.prepare = false;
    through_ = std::make_shared<const pg::Connector>(bouncer_->conninfo(database()), options);
  }
  void TearDown() override {
    bouncer_.reset();  // it keeps sessions after those who used them
    GroupTest::TearDown();
  }
  [[nodiscard]] std::unique_ptr<Consumer> consumer_through(ConsumerOptions options, SinkFactory sinks) const {
    return std::make_unique<Consumer>(through_, std::move(sinks), std::move(options));
  }
  static SinkFactory sql_effect() {
    return [] {
      return std::make_unique<SqlSink>(
          SqlSink::Options{.sql = "INSERT INTO public.effect (sink, tenant, key, run_id, idx, attempt) "
                                  "SELECT 's', tenant, key, run_id, idx, attempt FROM weir_batch",
                           .search_path = ""});
    };
  }

  SinkDefinition sink_;
  std::optional<test::PgBouncer> bouncer_{test::PgBouncer::Mode::transaction};
  std::shared_ptr<const pg::Connector> through_;
};

TEST_F(GroupPoolerTest, EachBatchIsAppliedOnceAndInOrderAndOwnedByLease) {
  constexpr int kGroups = 12;
  constexpr int kBatches = 8;
  for (int group = 0; group < kGroups; ++group)
    submit_run({"t" + std::to_string(group % 3), "k" + std::to_string(group)}, "r", kBatches);
  const auto one = consumer_through({.sink = "s", .concurrency = 3, .poll = 10ms}, sql_effect());
  const auto two = consumer_through({.sink = "s", .concurrency = 3, .poll = 10ms}, inside_effect("s"));
  one->start();
  two->start();
  EXPECT_EQ(one->ownership(), Ownership::lease);
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batches");
  EXPECT_EQ(number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
  one->stop();
  two->stop();
  EXPECT_EQ(one->counts().woken + two->counts().woken, 0) << "nobody may sleep through a pooler";
  EXPECT_EQ(number("SELECT count(*) FROM effect"), kGroups * kBatches);
  EXPECT_EQ(
      number("SELECT count(*) FROM (SELECT idx, row_number() OVER (PARTITION BY tenant, key ORDER BY id) "
             "- 1 AS place FROM effect) e WHERE idx <> place"),
      0)
      << "in order, and each once";
  EXPECT_EQ(number("SELECT count(*) FROM weir.group_hold"), 0);
}

TEST_F(GroupPoolerTest, OwningByLockIsRefusedWithTheReason) {
  const auto consumer = consumer_through({.sink = "s", .ownership = Ownership::advisory}, inside_effect("s"));
  const Error error = test::error_of([&] { consumer->start(); });
  EXPECT_TRUE(test::has(error.what(), "owning groups by advisory lock")) << error.what();
  EXPECT_TRUE(test::has(error.remedy(), "lease")) << error.remedy();
}

// It may be one in transaction mode that is busy.
TEST_F(GroupPoolerTest, WhatLooksLikeAPoolInSessionModeIsNotReliedUponEither) {
  bouncer_.emplace(test::PgBouncer::Mode::session);
  through_ = std::make_shared<const pg::Connector>(bouncer_->conninfo(database()));
  submit(kGroup);
  const auto by_lock = consumer_through({.sink = "s", .ownership = Ownership::advisory}, inside_effect("s"));
  const Error error = test::error_of([&] { by_lock->start(); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_TRUE(test::has(error.what(), "looks as if in session mode")) << error.what();
  const auto by_itself = consumer_through({.sink = "s", .once = true}, inside_effect("s"));
  work_off(*by_itself);
  EXPECT_EQ(by_itself->ownership(), Ownership::lease);
  EXPECT_EQ(history("s"), "0/1 succeeded");
}

TEST_F(GroupPoolerTest, WhoWorksThroughAPoolerWakesThoseWhoDoNot) {
  submit_run(kGroup, "r", 2);
  auto through = GroupConnection::try_lock(GroupConnection::open(*through_, "through", {}), sink_, kGroup,
                                           Ownership::lease, "through");
  ASSERT_TRUE(through);
  const auto direct = consumer({.sink = "s", .poll = 1h}, inside_effect("s"));
  direct->sleeps.enable();
  direct->start();
  ASSERT_TRUE(direct->sleeps.wait(Deadline::after(20s)));
  static_cast<void>(std::move(*through).release());
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batches");
  EXPECT_GE(direct->counts().woken, 1);
  direct->stop();
}

TEST_F(GroupPoolerTest, TheGroupsOfAConsumerThatDiedMoveOnAfterTheirLease) {
  submit_run(kGroup, "r", 2);
  {
    auto owned = GroupConnection::try_lock(GroupConnection::open(*through_, "dead", {}), sink_, kGroup,
                                           Ownership::lease, "dead");
    ASSERT_TRUE(owned);
    ASSERT_TRUE(owned->begin().batch);
  }  // its connection ends without a word; the pooler keeps the session
  expire_leases();
  const auto other = consumer_through({.sink = "s", .concurrency = 2, .poll = 10ms}, inside_effect("s"));
  other->start();
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batches");
  other->stop();
  EXPECT_EQ(history("s"), "0/1 lost, 0/2 succeeded, 1/1 succeeded");
}

}  // namespace
}  // namespace weir::group
