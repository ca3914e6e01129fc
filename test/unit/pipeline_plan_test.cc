// The plan of a run, what becomes of a task that waits, and how an attempt ends.

#include <gtest/gtest.h>

#include "pipeline/run/ending.h"
#include "pipeline/run_plan.h"
#include "pipeline/task_verdict.h"

namespace weir::pipeline {
namespace {

PipelineDefinition chain(const std::vector<std::vector<int>>& after) {
  PipelineDefinition pipeline;
  for (std::size_t i = 0; i < after.size(); ++i) {
    pipeline.tasks.push_back({.name = "t" + std::to_string(i), .body = SqlBody{}, .upstream = after[i]});
    for (const int before : after[i])
      pipeline.tasks[static_cast<std::size_t>(before)].downstream.push_back(static_cast<int>(i));
  }
  return pipeline;
}

TEST(RunPlan, TheEndComesAfterWhatNothingElseWaitsFor) {
  const auto plan = plan_run(chain({{}, {0}, {0}, {1}}));
  ASSERT_EQ(plan.size(), 5U);
  EXPECT_EQ(plan[0].successors, (std::vector<int>{1, 2}));
  EXPECT_EQ(plan[2].successors, (std::vector<int>{4}));
  EXPECT_EQ(plan[3].successors, (std::vector<int>{4}));
  EXPECT_FALSE(plan[4].pool);
  EXPECT_EQ(plan[4].upstream, 2);
  EXPECT_EQ(plan[4].rule, TriggerRule::all_done);
}

TEST(RunPlan, ATaskBeforeOneThatDecidesEarlyHoldsTheRunOpenItself) {
  auto pipeline = chain({{}, {}, {0, 1}});
  pipeline.tasks[2].rule = TriggerRule::one_failed;
  const auto plan = plan_run(pipeline);
  EXPECT_EQ(plan[0].successors, (std::vector<int>{2, 3}));
  EXPECT_EQ(plan[3].upstream, 3);
}

TEST(RunPlan, WhoComesBeforeACrowdedTaskTellsItInBatches) {
  std::vector<std::vector<int>> after(10);
  after.push_back({0, 1, 2, 3, 4, 5, 6, 7, 8});
  const auto plan = plan_run(chain(after));
  EXPECT_TRUE(plan[0].deferred);
  EXPECT_FALSE(plan[9].deferred) << "only the end comes after it";
  EXPECT_FALSE(plan[10].deferred);
}

TEST(RunPlan, AStartIsDurableUnlessACrashUndoesTheWorkToo) {
  auto pipeline = chain({{}, {}, {}, {}});
  pipeline.tasks[1].body = RunBody{.argv = {"true"}};
  pipeline.tasks[2].body = SqlBody{.connection = "other"};
  pipeline.tasks[3].body = SqlBody{.transaction = false};
  const auto plan = plan_run(pipeline);
  EXPECT_FALSE(plan[0].durable);
  EXPECT_TRUE(plan[1].durable);
  EXPECT_TRUE(plan[2].durable);
  EXPECT_TRUE(plan[3].durable);
}

struct Case {
  TriggerRule rule;
  UpstreamCounts counts;
  std::string_view verdict;  // empty: it waits
};

TEST(TaskVerdict, ByRule) {
  using enum TriggerRule;
  const std::vector<Case> cases{
      {all_success, {0, 2, 0, 0}, "ready"},
      {all_success, {1, 1, 0, 0}, ""},
      {all_success, {1, 0, 1, 0}, ""},
      {all_success, {0, 1, 1, 0}, "upstream_failed"},
      {all_success, {0, 1, 0, 1}, "skipped"},
      {all_success, {0, 0, 1, 1}, "upstream_failed"},
      {all_done, {0, 0, 1, 1}, "ready"},
      {all_done, {1, 1, 0, 0}, ""},
      {one_success, {5, 1, 0, 0}, "ready"},
      {one_success, {1, 0, 3, 0}, ""},
      {one_success, {0, 0, 3, 0}, "upstream_failed"},
      {one_success, {0, 0, 0, 2}, "skipped"},
      {one_failed, {5, 0, 1, 0}, "ready"},
      {one_failed, {0, 2, 0, 1}, "skipped"},
      {one_failed, {1, 2, 0, 1}, ""},
      {none_failed, {0, 1, 0, 1}, "ready"},
      {none_failed, {0, 0, 0, 2}, "ready"},
      {none_failed, {0, 1, 1, 0}, "upstream_failed"},
      {none_failed_min_one_success, {0, 1, 0, 1}, "ready"},
      {none_failed_min_one_success, {0, 0, 0, 2}, "skipped"},
      {none_failed_min_one_success, {0, 1, 1, 0}, "upstream_failed"},
      {always, {9, 0, 0, 0}, "ready"},
  };
  for (const Case& each : cases) {
    const auto verdict = task_verdict(each.rule, each.counts);
    EXPECT_EQ(verdict ? to_string(*verdict) : "", each.verdict)
        << to_string(each.rule) << " remaining " << each.counts.remaining << " ok " << each.counts.succeeded
        << " failed " << each.counts.failed << " skipped " << each.counts.skipped;
  }
}

TEST(TaskVerdict, RulesKeepTheirNames) {
  for (const auto rule :
       {TriggerRule::all_success, TriggerRule::all_done, TriggerRule::one_success, TriggerRule::one_failed,
        TriggerRule::none_failed, TriggerRule::none_failed_min_one_success, TriggerRule::always}) {
    EXPECT_EQ(to_trigger_rule(to_string(rule)), rule);
  }
  EXPECT_EQ(to_trigger_rule("all_sucess"), std::nullopt);
}

TEST(Ending, AFailureIsTriedAgainWhileAttemptsAreLeft) {
  TaskResult result;
  result.retry = {.attempts = 3,
                  .delay = std::chrono::seconds(10),
                  .max_delay = std::chrono::seconds(15),
                  .jitter = false};
  const auto failed = work::Outcome::failed("no");
  EXPECT_EQ(decide_ending(failed, result, 0, 0.5).state, "retry_wait");
  EXPECT_EQ(decide_ending(failed, result, 0, 0.5).delay, std::chrono::seconds(10));
  EXPECT_EQ(decide_ending(failed, result, 1, 0.5).delay, std::chrono::seconds(15)) << "20, but for the cap";
  EXPECT_EQ(decide_ending(failed, result, 2, 0.5).state, "failed");
  EXPECT_EQ(decide_ending(work::Outcome::discarded("no"), result, 0, 0.5).state, "failed");
  result.retry.exponential = false;
  EXPECT_EQ(decide_ending(failed, result, 1, 0.5).delay, std::chrono::seconds(10));
}

TEST(Ending, ASnoozeAndAReturnCostNoAttempt) {
  const TaskResult result;
  const auto snoozed = decide_ending(work::Outcome::snoozed(std::chrono::seconds(30)), result, 0, 0.5);
  EXPECT_EQ(snoozed.state, "retry_wait");
  EXPECT_EQ(snoozed.delay, std::chrono::seconds(30));
  EXPECT_FALSE(snoozed.counts);
  EXPECT_EQ(decide_ending(work::Outcome::returned(), result, 0, 0.5).state, "ready");
}

TEST(Ending, WhatIsDoneHasSucceededOrWasSkipped) {
  TaskResult result;
  EXPECT_EQ(decide_ending(work::Outcome::done(), result, 0, 0.5).state, "success");
  result.skipped = true;
  EXPECT_EQ(decide_ending(work::Outcome::done(), result, 0, 0.5).state, "skipped");
}

}  // namespace
}  // namespace weir::pipeline
