// What the summary says of waits: those of the load, and those of others for it.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "load_shape_fixture.h"

namespace weir::load {
namespace {

using namespace std::chrono_literals;

class LoadWaitsTest : public LoadShapeTest {
 protected:
  void SetUp() override {
    LoadTest::SetUp();
    run("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, 0 FROM generate_series(1, 9) n");
  }
  static LoadSpec spec(Mode mode) {
    LoadSpec result{.mode = mode, .columns = {"id", "v"}, .key = {"id"}};
    return result;
  }
  std::int64_t waiting() {
    return number(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND "
        "l.locktype <> 'advisory' AND a.datname = current_database()");
  }
  nlohmann::json last_summary() {
    return nlohmann::json::parse(
        session()
            .execute("SELECT summary::text FROM weir.load_run ORDER BY id DESC LIMIT 1")[0]
            .get<std::string>(0));
  }
  /// Somebody who waits from then on, until the load has ended.
  std::jthread waiter(const std::string& sql) {
    const std::int64_t before = waiting();
    std::jthread thread = test::in_background([this, sql] { run(sql); });
    test::wait_until([&] { return waiting() > before; }, "somebody to wait for the load");
    return thread;
  }
};

TEST_F(LoadWaitsTest, TheLongestWaitIsThatForALockOfOthersInAnyAttempt) {
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute("UPDATE t SET v = 5 WHERE id = 1");
  ApplyOptions options;
  options.lock_timeout = 200ms;
  options.on_event = [&](const ApplyEvent& event) {
    if (event.kind == ApplyEvent::Kind::retrying && transaction.is_open()) transaction.rollback();
  };
  const Applied applied = load("t", spec(Mode::upsert), "VALUES (1, 1)", options);
  EXPECT_EQ(applied.attempts, 2);
  EXPECT_GE(applied.longest_wait, 200ms);
  EXPECT_GE(last_summary().at("longest_wait_ms").get<int>(), 200);
}

TEST_F(LoadWaitsTest, ASwapAndAnAppendThatGoesStraightInSayItToo) {
  for (const bool swaps : {true, false}) {
    pg::Session other = session();
    pg::Transaction transaction(other);
    other.execute("LOCK TABLE t IN SHARE MODE");
    const auto let_go = [&] {
      if (transaction.is_open()) transaction.rollback();
    };
    if (swaps) {
      ApplyOptions options;
      options.swap_lock_timeout = 100ms;
      options.on_event = [&](const ApplyEvent& event) {
        if (event.kind == ApplyEvent::Kind::retrying) let_go();
      };
      EXPECT_GE(load("t", spec(Mode::swap), "SELECT n, 1 FROM generate_series(1, 9) n", options).longest_wait,
                100ms);
    } else {
      LoadOptions append = options(Mode::append);
      append.apply.lock_timeout = 100ms;
      const LoadReport report = load(csv("id,v\n10,1\n"), append, {}, [&](const LoadProgress& progress) {
        if (!progress.note.empty()) let_go();
      });
      EXPECT_TRUE(report.direct);
      EXPECT_GE(report.applied->longest_wait, 100ms);
    }
  }
}

TEST_F(LoadWaitsTest, WhoWaitsForALoadIsCountedWithHowLong) {
  std::vector<std::jthread> threads;
  ApplyOptions options;
  options.on_event = [&](const ApplyEvent& event) {
    if (event.kind == ApplyEvent::Kind::writing && event.text == "insert")
      threads.push_back(waiter("SELECT 1 FROM t WHERE id = 1 FOR UPDATE"));
    if (event.kind == ApplyEvent::Kind::writing && event.text == "swap")
      threads.push_back(waiter("SELECT count(*) FROM t"));
  };
  const Applied refresh =
      load("t", spec(Mode::refresh), "SELECT n, 1 FROM generate_series(1, 10) n", options);
  EXPECT_EQ(refresh.waiting.readers, 0);
  EXPECT_EQ(refresh.waiting.others, 1);
  EXPECT_GT(refresh.waiting.longest_other, Duration::zero());
  threads.clear();
  const Applied swap = load("t", spec(Mode::swap), "SELECT n, 2 FROM generate_series(1, 10) n", options);
  EXPECT_EQ(swap.waiting.readers, 1);
  EXPECT_EQ(swap.waiting.others, 0);
  EXPECT_GT(swap.waiting.longest_reader, Duration::zero());
  EXPECT_EQ(last_summary().at("readers_waited"), 1);
}

// A long query holds the table, the change of its columns waits for that: who comes later does not.
TEST_F(LoadWaitsTest, AChangeOfTheColumnsHoldsUpNoReaderForLong) {
  pg::Session old = session();
  pg::Transaction transaction(old);
  old.execute("SELECT count(*) FROM t");
  LoadReport report;
  {
    const std::jthread loads =
        test::in_background([&] { report = load(csv("id,v,more\n1,1,x\n2,2,y\n"), options(Mode::upsert)); });
    // Each of them comes behind an ALTER that waits, and is through while the long query is still there.
    for (int look = 0; look < 3; ++look) {
      test::wait_until([&] { return waiting() > 0; }, "the ALTER to wait");
      EXPECT_EQ(number("SELECT count(*) FROM t"), 9);
    }
    transaction.rollback();
  }
  EXPECT_EQ(columns(), "id integer, v integer, more text");
  EXPECT_EQ(report.applied->strongest_lock, LockMode::access_exclusive);
  EXPECT_GE(report.applied->longest_wait, 100ms);
  EXPECT_EQ(last_summary().at("strongest_lock"), "ACCESS EXCLUSIVE");
  ASSERT_FALSE(report.plan.steps.empty());
  EXPECT_EQ(report.plan.steps.front().phase, Step::Phase::columns);
  EXPECT_EQ(report.plan.strongest("t"), LockMode::access_exclusive);
}

class LoadWaitsBesideTest : public LoadBesideTest {};

TEST_F(LoadWaitsBesideTest, AWaitForAnotherLoadBeforeColumnsAreChangedCounts) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  LoadReport report;
  {
    const std::jthread other = another_load("t", "SELECT pg_sleep(0.1)");
    report = load(csv("id,v,more\n1,1,x\n"), options(Mode::upsert));
  }
  EXPECT_EQ(columns(), "id integer, v integer, more text");
  EXPECT_GE(report.applied->longest_wait, 100ms);
}

TEST_F(LoadWaitsTest, AnAppendThatGoesStraightInHoldsUpNoReader) {
  std::uint64_t looks = 0;
  std::string rows = "id,v\n";
  for (int id = 10; id < 50'000; ++id) rows += std::to_string(id) + ",1\n";
  auto reader = std::make_unique<InterruptedReader>(csv(rows), 40'000, [&] {
    // The first rows are with the server.
    test::wait_until([&] { return number("SELECT pg_relation_size('t')") > 100'000; }, "the rows to come");
    EXPECT_EQ(number("SELECT count(*) FROM t"), 9);
    EXPECT_EQ(number("SELECT count(*) FROM (SELECT 1 FROM t FOR UPDATE NOWAIT) r"), 9);
    ++looks;
  });
  LoadOptions append = options(Mode::append);
  const LoadReport report = load(std::move(reader), append);
  EXPECT_TRUE(report.direct);
  EXPECT_EQ(looks, 1U);
  EXPECT_EQ(report.applied->waiting.readers, 0);
  EXPECT_EQ(report.applied->strongest_lock, LockMode::row_exclusive);
}

}  // namespace
}  // namespace weir::load
