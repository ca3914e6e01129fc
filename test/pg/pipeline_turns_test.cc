// Runs that are begun again wait for their turn as all others do.

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "pg/error.h"
#include "pipeline/run/explain.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "support/pipeline_test.h"

namespace weir::pipeline {
namespace {

using testing::HasSubstr;

class PipelineTurns : public test::PipelineTest {
 protected:
  void SetUp() override {
    PipelineTest::SetUp();
    worker_ = process();
  }
  void work(std::int64_t run, std::string_view state) {
    for (const auto& each : claim(*sql_, worker_, ++claims_, 100)) {
      EXPECT_EQ(each.key.run, run);
      end(*sql_, each, state);
    }
  }
  /// One whose t0 has failed, and t1 with it.
  std::int64_t failed_run(std::int32_t pipeline) {
    const auto run = start_run(pipeline);
    work(run, "failed");
    EXPECT_EQ(state(run), "failed");
    return run;
  }
  std::string state(std::int64_t run) {
    const auto rows = sql_->run<sql::ShowRun>(run);
    return rows.empty() ? "none" : std::string(rows[0].state);
  }
  int begin_again(std::int64_t run, const std::vector<std::int32_t>& tasks = {}) {
    const auto answer = sql_->run<sql::BeginAgain>(run, tasks);
    return answer.one().tasks.value_or(-1);
  }
  std::string why(std::int64_t run) {
    std::string all;
    const auto explanation = explain_run(*sql_, run);
    for (const std::string& reason : explanation->reasons) all += reason + "; ";
    return all;
  }

  std::int64_t worker_ = 0;
  std::int64_t claims_ = 0;
};

TEST_F(PipelineTurns, ARunThatIsBegunAgainWaitsUntilThereIsRoom) {
  const auto pipeline = store(define("p", {{}, {{0}}}));
  const auto failed = failed_run(pipeline);
  const auto other = start_run(pipeline);
  EXPECT_EQ(begin_again(failed, {0}), 2);
  EXPECT_EQ(text("SELECT count(*) FROM weir.run WHERE state = 'running'"), "1");
  EXPECT_EQ(state(failed), "queued");
  EXPECT_EQ(states(failed), "t0 failed, t1 upstream_failed") << "as they were";
  EXPECT_THAT(why(failed), HasSubstr("it was begun again, and waits for its turn"));
  EXPECT_THAT(why(failed), HasSubstr("1 of 1 runs of p at a time (max_active_runs)"));
  EXPECT_THAT(explain_task(*sql_, failed, 0, -1)->reasons.back(),
              HasSubstr("begins again when its run has its turn"));
  EXPECT_TRUE(sql_->run<sql::StartRuns>(pipeline).empty());
  work(other, "success");  // and t1 of it
  work(other, "success");
  EXPECT_EQ(state(other), "success");
  EXPECT_EQ(states(failed), "t0 ready, t1 waiting");
  work(failed, "success");
  work(failed, "success");
  EXPECT_EQ(state(failed), "success");
  EXPECT_EQ(text("SELECT count(*) FROM weir.run"), "0");
}

TEST_F(PipelineTurns, WhatIsBegunAgainTwiceBeginsWithBoth) {
  const auto pipeline = store(define("p", {{}, {}, {{0}}, {{1}}}));
  const auto run = start_run(pipeline);
  work(run, "success");
  work(run, "success");
  start_run(pipeline);
  EXPECT_EQ(begin_again(run, {0}), 2);
  EXPECT_EQ(begin_again(run, {1}), 2);
  EXPECT_EQ(state(run), "queued");
  sql_->execute("UPDATE weir.pipeline SET max_active_runs = 2");
  EXPECT_EQ(sql_->run<sql::StartablePipelines>().size(), 1) << "the backstop sees it, too";
  EXPECT_EQ(sql_->run<sql::StartRuns>(pipeline).size(), 1);
  EXPECT_EQ(states(run), "t0 ready, t1 ready, t2 waiting, t3 waiting");
}

TEST_F(PipelineTurns, WhoBeginsOneAgainAndWhoStartsOneSeeEachOther) {
  const auto pipeline = store(define("p", {{}}));
  const auto failed = failed_run(pipeline);
  pg::Session other = session();
  other.execute("BEGIN");
  other.execute("SELECT weir.create_run($1, 'manual', now(), now(), now(), '{}')", pipeline);
  other.run<sql::StartRuns>(pipeline);
  // He has yet to commit: we wait for him, and do not count without him.
  sql_->execute("SET lock_timeout = '1ms'");
  EXPECT_THROW(begin_again(failed), pg::LockTimeout);
  sql_->execute("RESET lock_timeout");
  other.execute("COMMIT");
  EXPECT_EQ(begin_again(failed), 1);
  EXPECT_EQ(text("SELECT string_agg(state, ',' ORDER BY id) FROM weir.run"), "queued,running");
}

TEST_F(PipelineTurns, OneThatWaitsIsCancelledAndIsWhatItWas) {
  const auto pipeline = store(define("p", {{}, {{0}}}));
  const auto failed = failed_run(pipeline);
  const auto other = start_run(pipeline);
  begin_again(failed, {0});
  EXPECT_EQ(text("SELECT weir.cancel_run(" + std::to_string(failed) + ")"), "cancelled");
  EXPECT_EQ(text("SELECT state || ' ' || tasks FROM weir.run_done WHERE id = " + std::to_string(failed)),
            "failed 2");
  EXPECT_EQ(states(failed), "t0 failed, t1 upstream_failed");
  EXPECT_EQ(text("SELECT count(*) FROM weir.task WHERE run_id = " + std::to_string(failed)), "0");
  work(other, "failed");
  EXPECT_EQ(begin_again(failed, {0}), 2) << "and is begun again";
  EXPECT_EQ(states(failed), "t0 ready, t1 waiting");
}

TEST_F(PipelineTurns, ASuccessThatIsNotBegunAgainAfterAllStaysOne) {
  const auto pipeline = store(define("p", {{}}));
  const auto run = start_run(pipeline);
  work(run, "success");
  start_run(pipeline);
  begin_again(run);
  EXPECT_EQ(state(run), "queued");
  EXPECT_EQ(text("SELECT weir.cancel_run(" + std::to_string(run) + ")"), "cancelled");
  EXPECT_EQ(state(run), "success");
}

TEST_F(PipelineTurns, AMarkThatTheTurnWouldUndoIsRefused) {
  const auto pipeline = store(define("p", {{}, {{0}}, {{1}}}));
  const auto run = failed_run(pipeline);
  start_run(pipeline);
  begin_again(run, {0});
  const auto mark = [&](int no) { sql_->run<sql::MarkTask>(run, no, "success"); };
  EXPECT_THROW(mark(1), pg::Error);
  EXPECT_EQ(states(run), "t0 failed, t1 upstream_failed, t2 upstream_failed");
  mark(0);
  EXPECT_EQ(states(run), "t0 success, t1 upstream_failed, t2 upstream_failed");
  EXPECT_EQ(text("SELECT again FROM weir.run WHERE id = " + std::to_string(run)), "{1,2,3}");
}

TEST_F(PipelineTurns, OneThatWasCancelledBeforeItsTurnHasAllOfItsTasks) {
  const auto pipeline = store(define("p", {{}, {{0}}, {}}));
  start_run(pipeline);
  const auto waits = start_run(pipeline);
  EXPECT_THROW(begin_again(waits), pg::Error) << "nothing of it has begun";
  ASSERT_EQ(text("SELECT weir.cancel_run(" + std::to_string(waits) + ")"), "cancelled");
  begin_again(waits, {1});
  EXPECT_EQ(state(waits), "queued");
  sql_->execute("UPDATE weir.pipeline SET max_active_runs = 2");
  sql_->run<sql::StartRuns>(pipeline);
  EXPECT_EQ(states(waits), "t0 ready, t1 waiting, t2 ready") << "or it would never end";
}

TEST_F(PipelineTurns, APausedPipelineAndOneThatIsRemovedBeginAgainWhatTheyAreAsked) {
  const auto pipeline = store(define("p", {{}}));
  const auto run = failed_run(pipeline);
  sql_->execute("UPDATE weir.pipeline SET paused = true");
  begin_again(run);
  EXPECT_EQ(state(run), "running");
  work(run, "failed");
  sql_->execute("UPDATE weir.pipeline SET removed = true");
  begin_again(run);
  EXPECT_EQ(state(run), "running");
}

TEST_F(PipelineTurns, ABackfillHoldsItsNumberAlsoForThoseThatAreBegunAgain) {
  const auto pipeline = store(define("p", {{}}));
  const auto backfill = sql_->run<sql::MakeBackfill>(pipeline, 1, WallTime{}, WallTime{}, 2);
  const auto rows = sql_->execute(
      "SELECT weir.create_run($1, 'backfill', to_timestamp(n), to_timestamp(n), to_timestamp(n), '{}', -1, "
      "NULL, $2) "
      "FROM generate_series(1, 2) n",
      pipeline, backfill.one().id);
  const auto first = rows[0].get<std::int64_t>(0);
  const auto second = rows[1].get<std::int64_t>(0);
  sql_->run<sql::StartRuns>(pipeline);
  work(first, "failed");
  EXPECT_EQ(state(second), "running");
  begin_again(first);
  EXPECT_EQ(state(first), "queued");
  EXPECT_THAT(why(first), HasSubstr("1 of 1 runs of backfill"));
  sql_->execute("UPDATE weir.pipeline SET paused = true");
  work(second, "success");
  EXPECT_EQ(state(first), "running") << "it was asked for by hand";
}

TEST_F(PipelineTurns, AMarkThatLeavesNothingToDoNeedsNoTurn) {
  const auto pipeline = store(define("p", {{}, {{0}}}));
  const auto run = start_run(pipeline);
  work(run, "success");
  work(run, "failed");
  start_run(pipeline);
  sql_->run<sql::MarkTask>(run, 1, "success");
  Aftermath aftermath;
  aftermath.add({{{run, 2, -1}, TaskNews::State::end}});
  aftermath.carry_out(*sql_);
  EXPECT_EQ(state(run), "success");
  // But here t1 is done anew.
  const auto marked = sql_->run<sql::MarkTask>(run, 0, "failed");
  EXPECT_EQ(marked.one().tasks, 1);
  EXPECT_EQ(state(run), "queued");
  EXPECT_EQ(states(run), "t0 failed, t1 success");
  sql_->execute("UPDATE weir.pipeline SET max_active_runs = 2");
  sql_->run<sql::StartRuns>(pipeline);
  EXPECT_EQ(states(run), "t0 failed, t1 upstream_failed");
}

}  // namespace
}  // namespace weir::pipeline
