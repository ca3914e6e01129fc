// The plans of the queue's hot queries stay tight ranges of an index, also where the statistics know nothing
// yet.

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "queue/claim_marks.h"
#include "schema/queries/jobs.h"
#include "support/queue_test.h"

namespace weir::queue {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class PlanTest : public test::QueueTest {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    pg::Session session = this->session();
    session.execute("SELECT weir.queue_id('q' || n) FROM generate_series(1, 100) n");
    session.execute("INSERT INTO weir.process (name, lease_until) VALUES ('me', 'infinity')");
    // As after an idle night: analysed while empty, and then a flood.
    session.execute("ANALYZE weir.job, weir.job_later");
    session.execute(
        "INSERT INTO weir.job (queue_id, priority) SELECT 1 + n % 100, n % 3 FROM generate_series(1, 200000) "
        "n");
    session.execute(
        "INSERT INTO weir.job_later (id, run_at, queue_id) SELECT n, now() + n * interval '1 s', 1 FROM "
        "generate_series(1000001, 1050000) n");
  }
  template <class... T>
  std::string plan(const std::string& sql, const T&... arguments) {
    pg::Session session = this->session();
    const auto rows = session.execute("EXPLAIN " + sql, arguments...);
    std::string text;
    for (const auto row : rows) text += row.template get<std::string>(0) + '\n';
    return text;
  }
  static void expect_tight(const std::string& plan) {
    EXPECT_THAT(plan, Not(HasSubstr("Seq Scan on job ")));
    EXPECT_THAT(plan, Not(HasSubstr("Seq Scan on job_later")));
    EXPECT_THAT(plan, Not(HasSubstr("Sort Key")));
    EXPECT_THAT(plan, HasSubstr("Tid Scan on job"));
    EXPECT_THAT(plan, ContainsRegex("Index Cond: .*ROW\\(.*priority.*seq.*\\) >"));
  }
};

TEST_F(PlanTest, ClaimsAndPromotionsWalkTheirIndexWithStaleAndWithFreshStatistics) {
  constexpr std::int16_t kLane = 0;
  for (const bool fresh : {false, true}) {
    if (fresh) session().execute("ANALYZE weir.job, weir.job_later");
    for (const std::int64_t wanted : {1, 50, 2000}) {
      for (const ClaimMarks::Range& range : {ClaimMarks::whole(), ClaimMarks::Range{1, 100'000, 1}}) {
        expect_tight(plan(std::string(sql::ClaimJobs::kQuery.text), std::int64_t{1}, std::int64_t{1}, kLane,
                          std::int32_t{7}, range.priority, range.above, range.last_priority, wanted));
        expect_tight(plan(std::string(sql::TakeJobs::kQuery.text), kLane, std::int32_t{7}, range.priority,
                          range.above, range.last_priority, wanted));
      }
    }
    const std::string due = plan(
        "WITH due AS MATERIALIZED (SELECT l.ctid AS tid FROM weir.job_later l WHERE l.run_at <= now() ORDER "
        "BY l.run_at "
        "LIMIT 1000 FOR UPDATE SKIP LOCKED) DELETE FROM weir.job_later l WHERE l.ctid = ANY (ARRAY(SELECT "
        "d.tid FROM due d))");
    EXPECT_THAT(due, HasSubstr("job_later_run_at"));
    EXPECT_THAT(due, Not(HasSubstr("Seq Scan on job_later")));
  }
}

}  // namespace
}  // namespace weir::queue
