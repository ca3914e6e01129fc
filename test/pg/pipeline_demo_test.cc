// The demo of schedulers tells the truth, and leaves nothing. Times are of no concern here.

#include <gtest/gtest.h>

#include "pipeline/demo_scheduler.h"
#include "support/database.h"
#include "support/errors.h"

namespace weir::pipeline {
namespace {

class PipelineDemoTest : public test::PgTest {
 protected:
  static SchedulerDemoOptions brief() {
    return {.tasks = 120, .loops = 4, .history = 30'000, .working = 40, .slowness = 0.2};
  }
  pg::Conninfo server() { return test::TestServer::shared().conninfo(); }
  std::int64_t databases() {
    return session()
        .execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'weir\\_demo%'")[0]
        .get<std::int64_t>(0);
  }
};

TEST_F(PipelineDemoTest, TheClassicalOnesAreIllAndWeirIsNot) {
  const SchedulerFigures figures = run_scheduler_demo(server(), brief());

  ASSERT_EQ(figures.states.size(), 2U);
  for (const StateFigures& way : figures.states) {
    EXPECT_EQ(way.tasks, 120) << way.way;
    EXPECT_EQ(way.done, 120) << way.way;
    EXPECT_EQ(way.runs, 4) << way.way;
  }
  EXPECT_GT(figures.states[0].double_starts, 0);
  EXPECT_GT(figures.states[0].lost_updates + figures.states[0].wrong_runs, 0);
  EXPECT_EQ(figures.states[1].double_starts, 0);
  EXPECT_EQ(figures.states[1].lost_updates, 0);
  EXPECT_EQ(figures.states[1].wrong_runs, 0);

  ASSERT_EQ(figures.looks.size(), 10U);
  const LookFigures& scan_before = figures.looks[0];
  const LookFigures& weir_before = figures.looks[1];
  const LookFigures& scan_after = figures.looks[8];
  const LookFigures& weir_after = figures.looks[9];
  EXPECT_EQ(scan_before.history, 0);
  EXPECT_EQ(weir_after.history, 30'000);
  EXPECT_GT(scan_after.pages, scan_before.pages + 200) << "it reads all of its history";
  EXPECT_LT(weir_after.pages, weir_before.pages * 2) << "it reads none";

  ASSERT_EQ(figures.connections.size(), 2U);
  const ConnectionFigures& pool = figures.connections[0];
  const ConnectionFigures& weir = figures.connections[1];
  EXPECT_EQ(pool.done + pool.gave_up, 40);
  EXPECT_GT(pool.waited, 0);
  EXPECT_GE(pool.idle_in_transaction, 3);
  EXPECT_EQ(pool.connections, 5);
  EXPECT_EQ(weir.done, 40);
  EXPECT_EQ(weir.gave_up, 0);
  // On a busy machine a statement may be long after the one before it.
  EXPECT_LE(weir.idle_in_transaction, 1);
  EXPECT_LT(weir.idle_in_transaction, pool.idle_in_transaction);
  EXPECT_GT(weir.connections, 0);
  EXPECT_LE(weir.connections, weir.budget);
  EXPECT_EQ(databases(), 0);
}

TEST_F(PipelineDemoTest, AStopAnywhereLeavesNothing) {
  for (const std::size_t act : {0U, 1U, 2U}) {
    std::stop_source stop;
    SchedulerDemoOptions options = brief();
    options.stop = stop.get_token();
    options.on_step = [&](std::string_view step) {
      const std::string_view begins[] = {"read, then write", "a look for work", "Weir: 40 tasks"};
      if (step.starts_with(begins[act])) stop.request_stop();
    };
    EXPECT_EQ(test::error_of([&] { run_scheduler_demo(server(), options); }).exit_code(),
              ExitCode::interrupted);
    EXPECT_EQ(databases(), 0) << act;
  }
}

}  // namespace
}  // namespace weir::pipeline
