// Whether an index serves the poll, and what is said when none does.
#include "queue/adopt_index.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "queue/adopt_catalog.h"
#include "support/adopt.h"

namespace weir::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using Kind = queue::IndexVerdict::Kind;

class AdoptIndex : public AdoptTest {
 protected:
  [[nodiscard]] queue::IndexVerdict verdict() const {
    pg::Session session = this->session();
    return queue::judge_index(session, adopted());
  }
  void drop_indexes() const {
    pg::Session session = this->session();
    session.execute("DROP INDEX events_event_timestamp_idx");
  }
  std::vector<queue::IndexAdvice::Step> take_advice() const {
    pg::Session session = this->session();
    auto steps = queue::advise_index(session, adopted()).steps;
    for (const auto& step : steps) session.execute(step.sql);
    return steps;
  }
};

TEST_F(AdoptIndex, APartialOneServes) {
  make_events(Shape::plain, 100);
  EXPECT_EQ(verdict().kind, Kind::serves);
  EXPECT_THAT(verdict().indexes, ElementsAre("events_event_timestamp_idx"));
}

TEST_F(AdoptIndex, OneThatBeginsWithTheDoneColumnServes) {
  make_events(Shape::plain, 100);
  drop_indexes();
  session().execute("CREATE INDEX lead ON events (processed, event_timestamp)");
  EXPECT_EQ(verdict().kind, Kind::serves);
}

TEST_F(AdoptIndex, OneThatHoldsTheDoneRowsTooIsHalfAnAnswer) {
  make_events(Shape::partitioned, 100);
  drop_indexes();
  session().execute("CREATE INDEX everything ON events (event_timestamp)");
  EXPECT_EQ(verdict().kind, Kind::orders_only);
}

TEST_F(AdoptIndex, WithoutOneTheAdviceMakesIt) {
  make_events(Shape::plain, 100);
  drop_indexes();
  EXPECT_EQ(verdict().kind, Kind::none);
  EXPECT_THAT(verdict().unserved, ElementsAre("events"));
  const auto steps = take_advice();
  ASSERT_EQ(steps.size(), 1U);
  EXPECT_EQ(steps[0].sql,
            "CREATE INDEX CONCURRENTLY \"events_weir_todo\" ON \"public\".\"events\" (\"event_timestamp\") "
            "WHERE NOT \"processed\";");
  EXPECT_THAT(steps[0].lock, HasSubstr("SHARE UPDATE EXCLUSIVE"));
  EXPECT_EQ(verdict().kind, Kind::serves);
}

TEST_F(AdoptIndex, APartitionedTableGetsARecipeForEachPartition) {
  make_events(Shape::partitioned, 100);
  drop_indexes();
  session().execute_script(
      "CREATE TABLE events_4 PARTITION OF events FOR VALUES FROM ('2027-01-01Z') TO ('2028-01-01Z') "
      "PARTITION BY "
      "RANGE (event_timestamp); CREATE TABLE events_4a PARTITION OF events_4 DEFAULT");
  EXPECT_THAT(verdict().unserved, UnorderedElementsAre("events_1", "events_2", "events_3", "events_4a"));
  const auto steps = take_advice();
  ASSERT_EQ(steps.size(), 11U);
  EXPECT_THAT(steps[0].sql, HasSubstr("\"events_weir_todo\" ON ONLY \"public\".\"events\""));
  EXPECT_THAT(steps[1].sql, HasSubstr("CREATE INDEX CONCURRENTLY \"events_1_weir_todo\" ON"));
  EXPECT_EQ(
      steps[2].sql,
      "ALTER INDEX \"public\".\"events_weir_todo\" ATTACH PARTITION \"public\".\"events_1_weir_todo\";");
  EXPECT_EQ(verdict().kind, Kind::serves);
  // Valid only when every partition was attached.
  EXPECT_EQ(number("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE relname = "
                   "'events_weir_todo' AND indisvalid"),
            1);
}

/// The locks as the advice names them, for statements that can be held open.
TEST_F(AdoptIndex, TheLocksAreThoseThatTheServerTakes) {
  make_events(Shape::partitioned, 1);
  drop_indexes();
  pg::Session other = session();
  const auto locks = [&](const std::string& sql, const std::string& relation) {
    pg::Session session = this->session();
    session.execute_script("BEGIN; " + sql);
    const auto answer = other.execute(
        "SELECT coalesce(string_agg(mode, ' ' ORDER BY mode), '') FROM pg_locks WHERE pid = $1 AND locktype "
        "= "
        "'relation' AND relation = to_regclass($2)",
        session.backend_pid(), relation);
    session.execute("COMMIT");
    return answer[0].get<std::string>(0);
  };
  pg::Session session = this->session();
  const auto steps = queue::advise_index(session, adopted()).steps;
  EXPECT_EQ(locks(steps[0].sql, "events"), "ShareLock");
  EXPECT_THAT(steps[0].lock, HasSubstr("SHARE on the parent"));
  session.execute(steps[1].sql);
  EXPECT_EQ(locks(steps[2].sql + " SELECT 1 /* attached */", "events_1_weir_todo"), "AccessExclusiveLock");
  EXPECT_THAT(steps[2].lock, HasSubstr("ACCESS EXCLUSIVE on the partition's new index"));
}

}  // namespace
}  // namespace weir::test
