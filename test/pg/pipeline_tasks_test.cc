// Tasks of runs in SQL: claims, fences, caps, ends, and what successors make of them.

#include <gtest/gtest.h>

#include "pipeline/task_verdict.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "schema/queries/work.h"
#include "support/pipeline_test.h"

namespace weir::pipeline {
namespace {

class PipelineRuns : public test::PipelineTest {};
using enum TriggerRule;

TEST_F(PipelineRuns, AVerdictIsTheSameInBothLanguages) {
  int cases = 0;
  for (const auto rule :
       {all_success, all_done, one_success, one_failed, none_failed, none_failed_min_one_success, always}) {
    for (int bits = 0; bits < 81; ++bits) {
      const UpstreamCounts counts{bits % 3, bits / 3 % 3, bits / 9 % 3, bits / 27};
      const auto verdict = task_verdict(rule, counts);
      const auto said = sql_->execute("SELECT weir.task_verdict($1, $2, $3, $4, $5)", to_string(rule),
                                      counts.remaining, counts.succeeded, counts.failed, counts.skipped)[0]
                            .get<std::optional<std::string>>(0);
      ASSERT_EQ(said.value_or("waits"), verdict ? to_string(*verdict) : "waits")
          << to_string(rule) << ' ' << counts.remaining << ' ' << counts.succeeded << ' ' << counts.failed
          << ' ' << counts.skipped;
      ++cases;
    }
  }
  EXPECT_EQ(cases, 7 * 81);
}

TEST_F(PipelineRuns, AChainRunsToItsEndAndBecomesHistory) {
  const auto run = start_run(store(define("chain", {{}, {{0}}, {{1}}})));
  const auto worker = process();
  for (int i = 1; i <= 3; ++i) {
    const auto claimed = claim(*sql_, worker, i, 10);
    ASSERT_EQ(claimed.size(), 1U);
    EXPECT_EQ(claimed[0].key.no, i - 1);
    end(*sql_, claimed[0], "success");
  }
  EXPECT_EQ(states(run), "t0 success, t1 success, t2 success");
  EXPECT_EQ(text("SELECT state || ' ' || tasks FROM weir.run_done"), "success 3");
  EXPECT_EQ(text("SELECT count(*) FROM weir.task"), "0");
  EXPECT_EQ(text("SELECT count(*) FROM weir.task_attempt WHERE outcome = 'success'"), "3");
}

TEST_F(PipelineRuns, AFailureGoesDownGenerationByGeneration) {
  const auto run = start_run(store(
      define("p", {{}, {{0}}, {{1}}, {.after = {2}, .rule = all_done}, {.after = {0}, .rule = one_failed}})));
  const auto worker = process();
  end(*sql_, claim(*sql_, worker, 1, 10).at(0), "failed");
  EXPECT_EQ(states(run), "t0 failed, t1 upstream_failed, t2 upstream_failed, t3 ready, t4 ready");
  for (const auto& attempt : claim(*sql_, worker, 2, 10)) end(*sql_, attempt, "success");
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "failed");
}

TEST_F(PipelineRuns, AFailureThatIsAllowedHoldsNothingUp) {
  const auto run = start_run(store(define("p", {{.allow_failure = true}, {{0}}})));
  const auto worker = process();
  end(*sql_, claim(*sql_, worker, 1, 1).at(0), "failed");
  end(*sql_, claim(*sql_, worker, 2, 1).at(0), "success");
  EXPECT_EQ(states(run), "t0 failed, t1 success");
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "success");
}

TEST_F(PipelineRuns, ALateResultChangesNothing) {
  const auto run = start_run(store(define("p", {{}, {{0}}})));
  const auto late = process();
  const auto attempt = claim(*sql_, late, 1, 1).at(0);
  sql_->execute("UPDATE weir.process SET dead = true WHERE id = $1", late);
  const auto rescued = sql_->run<sql::RescueTasks>(10);
  ASSERT_EQ(rescued.size(), 1);
  const auto next = process();
  const auto again = claim(*sql_, next, 1, 1).at(0);
  EXPECT_EQ(again.attempt, 2);
  EXPECT_TRUE(finish(*sql_, attempt, "success").empty());
  EXPECT_EQ(states(run), "t0 running, t1 waiting");
  end(*sql_, again, "success");
  EXPECT_TRUE(finish(*sql_, again, "failed").empty()) << "over a terminal state";
  EXPECT_EQ(states(run), "t0 success, t1 ready");
  EXPECT_EQ(text("SELECT string_agg(outcome, ',' ORDER BY attempt) FROM weir.task_attempt"), "lost,success");
}

TEST_F(PipelineRuns, WhatKillsItsProcessesIsGivenUp) {
  const auto run = start_run(store(define("p", {{}})));
  for (int i = 0; i < 4; ++i) {
    const auto worker = process();
    ASSERT_EQ(claim(*sql_, worker, 1, 1).size(), 1U);
    sql_->execute("UPDATE weir.process SET dead = true WHERE id = $1", worker);
    Aftermath aftermath;
    std::vector<TaskNews> news;
    const auto rows = sql_->run<sql::RescueTasks>(10);
    for (const auto& row : rows) news.push_back({{row.run_id, row.task_no, row.item}, to_news(row.state)});
    aftermath.add(news);
    aftermath.carry_out(*sql_);
    sql_->run<sql::BuryProcesses>();
  }
  EXPECT_EQ(states(run), "t0 failed");
  EXPECT_EQ(text("SELECT error FROM weir.task_done"), "the process that ran it died, for the 4th time");
}

TEST_F(PipelineRuns, AProcessThatLostItsLeaseClaimsNothing) {
  start_run(store(define("p", {{}})));
  const auto worker = process();
  sql_->execute("UPDATE weir.process SET dead = true WHERE id = $1", worker);
  EXPECT_TRUE(claim(*sql_, worker, 1, 1).empty());
}

TEST_F(PipelineRuns, AClaimInDoubtIsHandedBackAndNeverHappensLater) {
  const auto run = start_run(store(define("p", {{}})));
  const auto worker = process();
  ASSERT_EQ(claim(*sql_, worker, 7, 1).size(), 1U);
  EXPECT_EQ(sql_->run<sql::ReturnTaskClaim>(worker, std::int64_t{7}).size(), 1);
  EXPECT_EQ(states(run), "t0 ready");
  EXPECT_TRUE(claim(*sql_, worker, 7, 1).empty()) << "it was sent before, and arrives now";
  EXPECT_EQ(claim(*sql_, worker, 8, 1).size(), 1U);
}

TEST_F(PipelineRuns, APoolHoldsItsSlotsWithWeights) {
  const auto pipeline = store(define("p", {{.pool = "etl", .slots = 2},
                                           {.pool = "etl", .slots = 2},
                                           {.pool = "etl"},
                                           {.pool = "etl", .slots = 9, .priority = -1}}));
  sql_->execute("UPDATE weir.pool SET slots = 3 WHERE name = 'etl'");
  start_run(pipeline);
  const auto worker = process();
  const auto first = claim(*sql_, worker, 1, 10);
  ASSERT_EQ(first.size(), 1U) << "2 of 3 are taken, and the next in order needs 2: none may pass it";
  EXPECT_TRUE(claim(*sql_, worker, 2, 10).empty());
  end(*sql_, first[0], "success");
  const auto second = claim(*sql_, worker, 3, 10);
  EXPECT_EQ(second.size(), 2U) << "2 and 1";
  for (const auto& attempt : second) end(*sql_, attempt, "success");
  EXPECT_EQ(claim(*sql_, worker, 4, 10).size(), 1U) << "one that needs more than there are takes all of them";
}

TEST_F(PipelineRuns, ALockedPoolIsPassedOverAndTheOthersGoOn) {
  const auto pipeline = store(define("p", {{.pool = "a"}, {.pool = "b"}}));
  sql_->execute("UPDATE weir.pool SET slots = 1");
  start_run(pipeline);
  const auto worker = process();
  pg::Session other = session();
  other.execute("BEGIN");
  other.execute("SELECT FROM weir.pool WHERE name = 'a' FOR UPDATE");
  const auto rows =
      sql_->run<sql::ClaimTasks>(worker, std::int64_t{1}, 10, 0, 0, std::vector<std::int64_t>());
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[0].task_no, 1);
  EXPECT_FALSE(rows[1].run_id) << "says that it is worth looking again";
  other.execute("ROLLBACK");
  EXPECT_EQ(claim(*sql_, worker, 2, 10).size(), 1U);
}

TEST_F(PipelineRuns, PipelinesTakeTurnsAndPrioritiesComeFirst) {
  const auto crowd = store(define("crowd", std::vector<Task>(20)));
  const auto small = store(define("small", std::vector<Task>(2)));
  const auto urgent = store(define("urgent", {{.priority = 5}}));
  start_run(crowd);
  start_run(small);
  start_run(urgent);
  const auto worker = process();
  EXPECT_EQ(claim(*sql_, worker, 1, 1).at(0).pipeline, urgent);
  std::map<std::int32_t, int> claimed;
  for (const auto& attempt : claim(*sql_, worker, 2, 6)) ++claimed[attempt.pipeline];
  EXPECT_EQ(claimed[small], 2) << "as many as of the crowd, while it has some";
  EXPECT_EQ(claimed[crowd], 4);
}

TEST_F(PipelineRuns, AMappedTaskEndsWithItsPieces) {
  const auto run = start_run(store(define("p", {{}, {{0}}})));
  const auto worker = process();
  const auto mapped = claim(*sql_, worker, 1, 1).at(0);
  const std::vector<pg::JsonView> elements{{"1"}, {R"({"a": 2})"}, {"3"}};
  const auto expanded =
      sql_->run<sql::ExpandTask>(worker, mapped.claim, run, 0, elements, std::optional<std::int32_t>(2));
  EXPECT_TRUE(expanded.one().expanded);
  EXPECT_EQ(states(run), "t0 mapped, t1 waiting");
  auto pieces = claim(*sql_, worker, 2, 10);
  ASSERT_EQ(pieces.size(), 2U) << "so many at a time";
  end(*sql_, pieces[0], "success");
  ASSERT_EQ(claim(*sql_, worker, 3, 10).size(), 1U);
  end(*sql_, pieces[1], "success");
  EXPECT_EQ(states(run), "t0 mapped, t1 waiting");
  const auto last = sql_->execute("SELECT claim FROM weir.task WHERE state = 'running'");
  TaskAttempt third{.key = {run, 0, 2}, .worker = worker, .claim = last[0].get<std::int64_t>(0)};
  end(*sql_, third, "failed");
  EXPECT_EQ(states(run), "t0 failed, t1 upstream_failed");
  EXPECT_EQ(text("SELECT error FROM weir.task_done WHERE task_no = 0 AND item < 0"), "1 of 3 pieces failed");
}

TEST_F(PipelineRuns, WhoChoosesSkipsTheOthersOnceAllBeforeThemHaveEnded) {
  const auto run =
      start_run(store(define("p", {{}, {}, {{0}}, {{0, 1}}, {.after = {3}, .rule = none_failed}})));
  const auto worker = process();
  auto claimed = claim(*sql_, worker, 1, 10);
  ASSERT_EQ(claimed.size(), 2U);
  claimed[0].result.follow = {{2}};
  end(*sql_, claimed[0], "success");
  EXPECT_EQ(states(run), "t0 success, t1 running, t2 ready, t3 waiting, t4 waiting");
  end(*sql_, claimed[1], "success");
  EXPECT_EQ(states(run), "t0 success, t1 success, t2 ready, t3 skipped, t4 ready");
}

TEST_F(PipelineRuns, ACancelledRunEndsWhenWhatRunsHasStopped) {
  const auto run = start_run(store(define("p", {{}, {}, {{0}}, {.after = {0, 1, 2}, .rule = all_done}})));
  const auto worker = process();
  const auto claimed = claim(*sql_, worker, 1, 2);
  ASSERT_EQ(claimed.size(), 2U);
  end(*sql_, claimed[0], "success");
  EXPECT_EQ(text("SELECT weir.cancel_run(" + std::to_string(run) + ")"), "stopping");
  EXPECT_EQ(states(run), "t0 success, t1 running, t2 cancelled, t3 cancelled");
  end(*sql_, claimed[1], "retry_wait");
  Aftermath aftermath;
  std::vector<TaskNews> news;
  const auto rows = sql_->run<sql::UntoldTasks>(std::int64_t{0}, 100);
  for (const auto& row : rows) news.push_back({{row.run_id, row.task_no, row.item}, to_news(row.state)});
  aftermath.add(news);
  aftermath.carry_out(*sql_);
  EXPECT_EQ(states(run), "t0 success, t1 cancelled, t2 cancelled, t3 cancelled");
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "cancelled");
}

TEST_F(PipelineRuns, RunsWaitForTheirTurn) {
  const auto pipeline = store(define("p", {{}}));
  const auto first = start_run(pipeline);
  const auto second = start_run(pipeline);
  EXPECT_EQ(text("SELECT string_agg(state, ',' ORDER BY id) FROM weir.run"), "running,queued");
  const auto worker = process();
  const auto attempt = claim(*sql_, worker, 1, 10);
  ASSERT_EQ(attempt.size(), 1U);
  EXPECT_EQ(attempt[0].key.run, first);
  end(*sql_, attempt[0], "success");
  EXPECT_EQ(claim(*sql_, worker, 2, 10).at(0).key.run, second);
}

TEST_F(PipelineRuns, ABackfillHasALimitOfItsOwnAndAPauseHoldsBothBack) {
  const auto pipeline = store(define("p", {{}}));
  const auto backfill = sql_->run<sql::MakeBackfill>(pipeline, 2, WallTime{}, WallTime{}, 5);
  sql_->execute(
      "SELECT weir.create_run($1, 'backfill', to_timestamp(n), to_timestamp(n), to_timestamp(n), '{}', -1, "
      "NULL, $2) "
      "FROM generate_series(1, 5) n",
      pipeline, backfill.one().id);
  sql_->execute("UPDATE weir.pipeline SET paused = true");
  EXPECT_TRUE(sql_->run<sql::StartRuns>(pipeline).empty());
  EXPECT_TRUE(sql_->run<sql::StartablePipelines>().empty());
  start_run(pipeline);
  EXPECT_EQ(text("SELECT string_agg(kind, ',') FROM weir.run WHERE state = 'running'"), "manual");
  sql_->execute("UPDATE weir.pipeline SET paused = false");
  EXPECT_EQ(sql_->run<sql::StartablePipelines>().size(), 1);
  EXPECT_EQ(sql_->run<sql::StartRuns>(pipeline).size(), 2) << "beside the one by hand";
  EXPECT_TRUE(sql_->run<sql::StartablePipelines>().empty());
  const auto claimed = claim(*sql_, process(), 1, 10);
  ASSERT_EQ(claimed.size(), 3U);
  for (const auto& attempt : claimed) end(*sql_, attempt, "success");
  EXPECT_EQ(text("SELECT count(*) FROM weir.run WHERE state = 'running'"), "2");
}

TEST_F(PipelineRuns, ALogicalTimeHasOneRunOfAKind) {
  const auto pipeline = store(define("p", {{}}));
  const auto create = [&] {
    return sql_
        ->execute("SELECT weir.create_run($1, 'scheduled', '2026-01-01', '2025-12-31', '2026-01-01', '{}')",
                  pipeline)[0]
        .get<std::optional<std::int64_t>>(0);
  };
  const auto run = create();
  ASSERT_TRUE(run);
  EXPECT_FALSE(create());
  sql_->run<sql::StartRuns>(pipeline);
  end(*sql_, claim(*sql_, process(), 1, 1).at(0), "success");
  EXPECT_EQ(text("SELECT count(*) FROM weir.run_done"), "1");
  EXPECT_FALSE(create()) << "also when it is history";
}

TEST_F(PipelineRuns, ARunIsBegunAgainFromATask) {
  const auto run = start_run(store(define("p", {{}, {{0}}, {{1}}, {{0}}})));
  const auto worker = process();
  end(*sql_, claim(*sql_, worker, 1, 1).at(0), "success");
  for (const auto& attempt : claim(*sql_, worker, 2, 10))
    end(*sql_, attempt, attempt.key.no == 1 ? "failed" : "success");
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "failed");
  const std::string id = std::to_string(run);
  EXPECT_EQ(text("SELECT weir.begin_again(" + id + ", '{1}')"), "2");
  EXPECT_EQ(states(run), "t0 success, t1 ready, t2 waiting, t3 success");
  end(*sql_, claim(*sql_, worker, 3, 10).at(0), "success");
  end(*sql_, claim(*sql_, worker, 4, 10).at(0), "success");
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "success");
}

TEST_F(PipelineRuns, AMarkFencesWhatRuns) {
  const auto run = start_run(store(define("p", {{}, {{0}}})));
  const auto worker = process();
  const auto attempt = claim(*sql_, worker, 1, 1).at(0);
  sql_->execute("SELECT weir.mark_task($1, 0, 'success')", run);
  EXPECT_EQ(states(run), "t0 success, t1 ready");
  EXPECT_TRUE(finish(*sql_, attempt, "failed").empty());
  EXPECT_EQ(states(run), "t0 success, t1 ready");
}

TEST_F(PipelineRuns, WhatTheLoopAsksReadsLivingRowsByIndex) {
  const auto pipeline = store(define("p", std::vector<Task>(5)));
  for (int i = 0; i < 3; ++i) start_run(pipeline);
  sql_->execute("ANALYZE weir.task");
  for (const std::string where :
       {"state = 'ready' AND pool_id = 1 AND priority = 0 AND pipeline_id = 1 ORDER BY ready_at, run_id, "
        "task_no, item LIMIT 5",
        "state = 'running' AND pool_id = 1", "state = 'running' AND worker_id = 1",
        "state = 'retry_wait' AND ready_at <= clock_timestamp() ORDER BY ready_at LIMIT 10"}) {
    sql_->execute("SET enable_seqscan = off");
    std::string plan;
    const auto rows = sql_->execute("EXPLAIN SELECT pool_id FROM weir.task WHERE " + where);
    for (int i = 0; i < rows.rows(); ++i) plan += rows[i].get<std::string>(0) + "\n";
    EXPECT_NE(plan.find("using task_"), std::string::npos) << plan;
    EXPECT_EQ(plan.find("Seq Scan"), std::string::npos) << plan;
    EXPECT_EQ(plan.find("Sort"), std::string::npos) << plan;
  }
}

}  // namespace
}  // namespace weir::pipeline
