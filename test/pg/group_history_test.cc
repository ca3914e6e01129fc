// Days, history and what a poll costs. Incidents 7.9, 7.10, 7.11 and 7.12, and queries that grow with
// history.

#include <future>

#include <gtest/gtest.h>

#include "pg/transaction.h"
#include "support/group_test.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;

class GroupHistoryTest : public test::GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    sink_ = add_sink("s");
  }
  std::string day(const std::string& parent, int days) {
    return text("SELECT '" + parent + "_' || to_char((now() AT TIME ZONE 'UTC')::date + (" +
                std::to_string(days) + "), 'YYYYMMDD')");
  }
  void make_day(const std::string& parent, int days) {
    one_->execute(
        "CREATE TABLE weir." + day(parent, days) + " PARTITION OF weir." + parent +
        text("SELECT format(' FOR VALUES FROM (%L) TO (%L)', d AT TIME ZONE 'UTC', (d + interval '1 "
             "d') AT TIME ZONE 'UTC') FROM (SELECT ((now() AT TIME ZONE 'UTC')::date + (" +
             std::to_string(days) + "))::timestamp AS d) x"));
  }
  bool has_day(const std::string& parent, int days) {
    return number("SELECT count(to_regclass('weir." + day(parent, days) + "'))") == 1;
  }
  void keep() { RecoveryConnection::open(connector(), "test", {}).keep(sink_); }
  /// Pages that the statement touches, from the server's own count.
  std::int64_t pages(const std::string& sql) {
    one_->execute(sql);  // what is cached is cached
    std::int64_t pages = 0;
    const auto rows = one_->execute("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) " + sql);
    for (const auto row : rows) {
      const std::string line = row.get<std::string>(0);
      if (const auto at = line.find("shared hit="); at != std::string::npos && pages == 0)
        pages = std::stoll(line.substr(at + 11));
    }
    return pages;
  }

  SinkDefinition sink_;
};

// The O(history) poll: a million attempts and batches of the past change nothing.
TEST_F(GroupHistoryTest, APollCostsTheSameWithAMillionBatchesOfThePast) {
  for (int i = 0; i < 20; ++i) submit({"t", std::to_string(i)});
  const std::string poll =
      "SELECT * FROM weir.ready_groups(" + std::to_string(sink_.id) + ", '', 48, 256, 5000, '{}', '{}')";
  one_->execute("VACUUM ANALYZE weir.batch_step");
  const std::int64_t before = pages(poll);
  one_->execute(
      "INSERT INTO weir.batch_run (feed_id, tenant, key, run, last_idx) SELECT 1, 't' || n % 100, 'k' || n % "
      "1000, "
      "n::text, 99 FROM generate_series(1, 10000) n");
  one_->execute(
      "INSERT INTO weir.batch_turn (run_id, sink_id, next_idx) SELECT id, $1, 100 FROM weir.batch_run WHERE "
      "last_idx "
      "= 99",
      sink_.id);
  one_->execute(
      "INSERT INTO weir.batch (run_at, run_id, idx, final, payload) SELECT r.created_at, r.id, n, n = 99, "
      "'{}' FROM "
      "weir.batch_run r, generate_series(0, 99) n WHERE r.last_idx = 99");
  one_->execute(
      "INSERT INTO weir.batch_attempt (begun_at, run_at, run_id, sink_id, idx, attempt, outcome) SELECT "
      "now(), "
      "r.created_at, r.id, $1, n, 1, 'succeeded' FROM weir.batch_run r, generate_series(0, 99) n WHERE "
      "r.last_idx = "
      "99",
      sink_.id);
  const std::int64_t after = pages(poll);
  EXPECT_GT(before, 0);
  // An index of the turns has one level more, for each of the 20 groups that are looked at.
  EXPECT_LE(after, before + std::max<std::int64_t>(before / 5, 20)) << before;
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_attempt"), 1'000'000);
}

TEST_F(GroupHistoryTest, ADayStaysAsLongAsSomebodyHasABatchOfItBeforeHim) {
  make_day("batch", -20);
  make_day("batch", -19);
  make_day("batch", -30);
  submit(kGroup, {.run = "r"});
  // As if its run had been made so long ago.
  one_->execute_script(
      "UPDATE weir.batch_run SET created_at = created_at - interval '20 d';"
      "UPDATE weir.batch SET run_at = run_at - interval '20 d', created_at = created_at - interval '20 d';"
      "UPDATE weir.batch_step SET run_at = run_at - interval '20 d'");
  keep();
  EXPECT_TRUE(has_day("batch", -20));
  EXPECT_FALSE(has_day("batch", -30));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_run"), 1);
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(effects("s"), "0");
  keep();
  EXPECT_FALSE(has_day("batch", -20));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_run"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_turn"), 0);
}

// Found in review: a run that is fed a batch a day for longer than history is kept was forgotten in between.
TEST_F(GroupHistoryTest, ADayStaysAsLongAsARunOfItIsFed) {
  make_day("batch", -20);
  const std::string first = submit(kGroup, {.run = "r"});
  submit(kGroup, {.run = "over", .final = true});
  one_->execute_script(
      "UPDATE weir.batch_run SET created_at = created_at - interval '20 d';"
      "UPDATE weir.batch SET run_at = run_at - interval '20 d';"
      "UPDATE weir.batch_step SET run_at = run_at - interval '20 d'");
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step"), 0);
  keep();
  EXPECT_TRUE(has_day("batch", -20));
  EXPECT_EQ(submit(kGroup, {.run = "r"}), first.substr(0, first.find('.')) + ".1");
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(effects("s"), "0 0 1");
  one_->execute("UPDATE weir.batch SET created_at = created_at - interval '20 d'");
  keep();
  EXPECT_FALSE(has_day("batch", -20));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_run") + number("SELECT count(*) FROM weir.batch_turn"),
            0);
}

// Found in review: the sweep waited for the producer, as long as he had his transaction open.
TEST_F(GroupHistoryTest, WhoSubmitsToAnOldRunKeepsItsDayAndHoldsNobodyUp) {
  submit(kGroup, {.run = "r"});
  work_off({.sink = "s"}, inside_effect("s"));
  make_day("batch", -20);
  one_->execute_script(
      "UPDATE weir.batch_run SET created_at = created_at - interval '20 d';"
      "UPDATE weir.batch SET run_at = run_at - interval '20 d', created_at = created_at - interval '20 d'");
  pg::Session producer = session();
  pg::Transaction transaction(producer);
  producer.execute("SELECT weir.submit_batch('t', 'k', '{}', run => 'r')");
  keep();
  transaction.commit();
  EXPECT_TRUE(has_day("batch", -20));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_run"), 1);
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(effects("s"), "0 1");
}

// Found in review, as above.
TEST_F(GroupHistoryTest, ARunThatIsBeingFedIsNotStrandedAndNotWaitedFor) {
  submit(kGroup, {.run = "r", .idx = 1});
  one_->execute("UPDATE weir.batch_step SET changed_at = changed_at - interval '1 d'");
  pg::Session producer = session();
  pg::Transaction transaction(producer);
  producer.execute("SELECT weir.submit_batch('t', 'k', '{}', run => 'r', idx => 0)");
  pg::Session sweeper = session();
  sweeper.set("lock_timeout", "1s");
  EXPECT_EQ(sweeper.execute("SELECT weir.fail_stranded_runs($1, 1000)", sink_.id)[0].get<std::int32_t>(0), 0);
  transaction.commit();
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(effects("s"), "0 1");
}

// Found in review: whoever keeps history in order and fails does not keep groups from being taken from the
// dead.
TEST_F(GroupHistoryTest, GroupsAreTakenFromTheDeadWhereHistoryCannotBeKept) {
  one_->execute("DROP FUNCTION weir.fail_stranded_runs");
  submit(kGroup);
  auto owned = GroupConnection::try_lock(connection(), sink_, kGroup, Ownership::lease, "gone");
  ASSERT_TRUE(owned);
  ASSERT_TRUE(owned->begin().batch);
  expire_leases();
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(history("s"), "0/1 lost, 0/2 succeeded");
}

// Incident 7.12: rows in a DEFAULT partition are in the way of their day, and of no other.
TEST_F(GroupHistoryTest, RowsInADefaultPartitionAreInTheWayOfTheirDayOnly) {
  submit(kGroup);
  one_->execute("CREATE TABLE kept AS SELECT * FROM weir.batch");
  one_->execute("DROP TABLE weir." + day("batch", 0));
  one_->execute("DROP TABLE weir." + day("batch", 3));
  one_->execute("DROP TABLE weir." + day("batch_attempt", 2));
  one_->execute("CREATE TABLE weir.batch_rest PARTITION OF weir.batch DEFAULT");
  one_->execute("INSERT INTO weir.batch SELECT * FROM kept");
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_rest"), 1);
  keep();
  EXPECT_FALSE(has_day("batch", 0));
  EXPECT_TRUE(has_day("batch", 3));
  EXPECT_TRUE(has_day("batch_attempt", 2));
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(effects("s"), "0");
  one_->execute("DELETE FROM weir.batch_rest");
  keep();
  EXPECT_TRUE(has_day("batch", 0));
}

TEST_F(GroupHistoryTest, ABatchMakesItsDayWhereNoConsumerDidForAWeek) {
  one_->execute("DROP TABLE weir." + day("batch", 0));
  one_->execute("DROP TABLE weir." + day("batch", 3));
  submit(kGroup);
  EXPECT_TRUE(has_day("batch", 0));
  EXPECT_TRUE(has_day("batch", 3));
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch"), 1);
}

// Incident 7.9: what the first sweep has to do, or cannot, holds up neither the start nor the days. Found in
// review: a group was left behind, its history had no day, and the sweep that would make one came after.
TEST_F(GroupHistoryTest, AfterAWeekOfNobodyTheDaysComeBeforeTheSweep) {
  submit(kGroup);
  auto owned = GroupConnection::try_lock(connection(), sink_, kGroup, Ownership::lease, "gone");
  ASSERT_TRUE(owned);
  ASSERT_TRUE(owned->begin().batch);
  expire_leases();
  one_->execute("DROP TABLE weir." + day("batch_attempt", 0));
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(history("s"), "0/1 lost, 0/2 succeeded");
}

TEST_F(GroupHistoryTest, AStartIsNotHeldUpByASweepThatTakesLong) {
  submit(kGroup);
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute("LOCK TABLE weir.group_hold IN ACCESS EXCLUSIVE MODE");
  const auto consumer = this->consumer({.sink = "s"}, inside_effect("s"));
  auto started = std::async(std::launch::async, [&] { consumer->start(); });
  EXPECT_EQ(started.wait_for(20s), std::future_status::ready) << "it waits for its first sweep";
  test::wait_until(
      [&] {
        return number(
                   "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                   "application_name "
                   "LIKE 'weir:recovery:%' AND datname = current_database()") == 1;
      },
      "the sweep to be held up");
  transaction.rollback();
  started.get();
  test::wait_until([&] { return number("SELECT count(*) FROM weir.batch_step") == 0; }, "the batch");
  consumer->stop();
  EXPECT_EQ(history("s"), "0/1 succeeded");
}

// Incident 7.10: what nobody has begun is not lost, and no sweep fails it.
TEST_F(GroupHistoryTest, ASweepLeavesAloneWhatNobodyHasBegun) {
  submit_run(kGroup, "r", 2);
  auto owned = GroupConnection::try_lock(connection(), sink_, kGroup, Ownership::lease, "gone");
  ASSERT_TRUE(owned);
  expire_leases();
  EXPECT_EQ(recover(sink_), 1U);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step WHERE state = 'pending' AND attempt = 0"), 2);
  EXPECT_EQ(history("s"), "");
}

// Incident 7.11: days are made beside the table and attached; whoever submits or claims does not wait for
// that.
TEST_F(GroupHistoryTest, DaysAreMadeWhileProducersAndConsumersHaveTheTables) {
  one_->execute("DROP TABLE weir." + day("batch", 5));
  one_->execute("DROP TABLE weir." + day("batch_attempt", 5));
  pg::Session producer = session();
  pg::Transaction transaction(producer);
  producer.execute("SELECT weir.submit_batch('t', 'k', '{}')");
  keep();
  EXPECT_TRUE(has_day("batch", 5));
  EXPECT_TRUE(has_day("batch_attempt", 5));
  transaction.commit();
}

// Found in review: a reader of an old day held up who drops it, and all producers behind him.
TEST_F(GroupHistoryTest, WhoReadsAnOldDayIsNotWaitedFor) {
  make_day("batch", -30);
  pg::Session reader = session();
  pg::Transaction transaction(reader);
  reader.execute("SELECT count(*) FROM weir.batch");
  keep();
  EXPECT_TRUE(has_day("batch", -30));
  transaction.rollback();
  keep();
  EXPECT_FALSE(has_day("batch", -30));
}

// Incident 7.7: a late word about what has ended changes nothing.
TEST_F(GroupHistoryTest, NothingIsWrittenOverWhatHasEnded) {
  submit_run(kGroup, "r", 2);
  auto owned = GroupConnection::try_lock(connection(), sink_, kGroup, Ownership::lease, "me");
  ASSERT_TRUE(owned);
  ASSERT_TRUE(owned->begin().batch);
  one_->execute("SELECT weir.fail_batch_run($1, 't', 'k', run_id, 'by hand') FROM weir.group_hold", sink_.id);
  EXPECT_FALSE(owned->end({Ending::Kind::succeeded, std::nullopt}));
  EXPECT_FALSE(owned->end({Ending::Kind::retry, "late", 0s}));
  EXPECT_EQ(history("s"), "0/1 failed, 1/0 failed");
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_turn WHERE failed AND next_idx = 0"), 1);
  EXPECT_EQ(owned->begin().state, OwnedGroup::Begun::State::lost);
}

}  // namespace
}  // namespace weir::group
