// Workers of several versions of Weir: what one of them cannot read is left to those who can.

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "pipeline/run/explain.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "support/pipeline_worker_test.h"
#include "support/project_text.h"

namespace weir::pipeline {
namespace {

using testing::HasSubstr;

class PipelineVersions : public test::PipelineWorkerTest {
 protected:
  /// As a newer Weir writes it: nobody here reads that.
  void make_newer(const std::string& of = "p") {
    sql_->execute(
        "UPDATE weir.pipeline_version v SET definition = definition || '{\"hologram\": true}' FROM "
        "weir.pipeline p "
        "WHERE p.id = v.pipeline_id AND p.name = $1 AND v.version = p.version",
        of);
  }
  /// Who begins now is the newer one.
  void make_known() {
    sql_->execute("UPDATE weir.pipeline_version SET definition = definition - 'hologram'");
  }
  static std::int64_t code(std::int32_t pipeline, std::int32_t version) {
    return std::int64_t{pipeline} << 32 | version;
  }
  std::vector<std::string> claim_without(std::vector<std::int64_t> avoided, int wanted) {
    std::vector<std::string> claimed;
    for (const auto& row : sql_->run<sql::ClaimTasks>(process(), std::int64_t{1}, wanted, 0, 0, avoided))
      claimed.push_back(std::to_string(*row.pipeline_id) + "." + std::to_string(*row.version));
    return claimed;
  }
};

TEST_F(PipelineVersions, AWorkerLeavesWhatItCannotReadToOthersAndGoesOn) {
  auto read = test::read_files({{"pipelines/p/pipeline.yml", "tasks: {a: {sql: select 1}}\n"},
                                {"pipelines/q/pipeline.yml", "tasks: {a: {sql: select 1}}\n"}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  make_newer();
  start_worker(1);
  const auto newer = run();
  until("EXISTS (SELECT FROM weir.left_to_others)");
  const auto q = sql_->run<sql::FindPipeline>("q");
  EXPECT_EQ(ended(start_run(q.one().id)), "success") << "and works on what it can";
  EXPECT_EQ(states(newer), "t0 ready");
  EXPECT_EQ(text("SELECT failures || ' ' || losses FROM weir.task WHERE pool_id IS NOT NULL"), "0 0");
  EXPECT_EQ(text("SELECT count(*) FROM weir.task_attempt WHERE run_id = " + std::to_string(newer)), "0");
  EXPECT_EQ(text("SELECT attempt FROM weir.task WHERE pool_id IS NOT NULL"), "1")
      << "and does not try it again";
  EXPECT_THAT(explain_task(*sql_, newer, 0, -1)->reasons.at(0),
              HasSubstr("1 of 1 workers cannot read its definition: a stored definition cannot be read: "
                        "'hologram' is unknown"));
  make_known();
  const auto second = make_worker(1);
  second->start();
  EXPECT_EQ(ended(newer), "success");
  second->stop();
}

TEST_F(PipelineVersions, WhatItHasSaidGoesWithTheWorker) {
  deploy_text("tasks: {a: {sql: select 1}}\n");
  make_newer();
  start_worker(1);
  run();
  until("EXISTS (SELECT FROM weir.left_to_others)");
  worker_->stop();
  EXPECT_EQ(text("SELECT count(*) FROM weir.left_to_others"), "0");
}

TEST_F(PipelineVersions, AScheduleIsLeftToThoseWhoCanReadIt) {
  deploy_text("schedule: {every: 1h, missed: last}\ntasks: {a: {sql: select 1}}\n");
  make_newer();
  sql_->execute(
      "UPDATE weir.pipeline SET next_at = now() - interval '1 s', fired_at = now() - interval '1 h'");
  const std::string next = text("SELECT next_at FROM weir.pipeline");
  pg::Session mine = session();
  Definitions old;
  Scheduler scheduler(old);
  EXPECT_GT(scheduler.fire(mine, std::chrono::seconds(5)), std::chrono::seconds(4)) << "and does not spin";
  EXPECT_EQ(text("SELECT next_at FROM weir.pipeline"), next) << "it is due for others as before";
  make_known();
  Definitions newer;
  Scheduler other(newer);
  other.fire(mine, std::chrono::seconds(5));
  EXPECT_EQ(text("SELECT count(*) FROM weir.run"), "1");
}

TEST_F(PipelineVersions, OtherVersionsOfThePipelineAreClaimed) {
  auto definition = define("p", {{}, {}});
  definition.max_active_runs = 2;
  const auto p = store(definition);
  start_run(p);
  store(definition);
  start_run(p);
  const auto q = store(define("q", {{}}));
  start_run(q);
  ASSERT_EQ(text("SELECT string_agg(DISTINCT pipeline_id || '.' || version, ' ') FROM weir.task WHERE "
                 "pool_id IS NOT NULL"),
            std::to_string(p) + ".1 " + std::to_string(p) + ".2 " + std::to_string(q) + ".1");
  const std::string first = std::to_string(p) + ".1";
  const std::string other = std::to_string(q) + ".1";
  EXPECT_THAT(claim_without({code(p, 2)}, 1), testing::ElementsAre(other));
  EXPECT_THAT(claim_without({code(p, 2), code(q, 1)}, 1), testing::ElementsAre(first));
  EXPECT_THAT(claim_without({code(p, 2)}, 10), testing::ElementsAre(first));
  EXPECT_THAT(claim_without({code(p, 2)}, 10), testing::IsEmpty());
  // Locked by somebody who claims just now: nobody turns round in it.
  pg::Session locking = session();
  locking.execute("BEGIN");
  locking.execute("SELECT FROM weir.task WHERE state = 'ready' FOR UPDATE");
  EXPECT_THAT(claim_without({code(q, 1)}, 10), testing::IsEmpty());
  locking.execute("ROLLBACK");
  EXPECT_EQ(claim_without({}, 10).size(), 2U);
}

}  // namespace
}  // namespace weir::pipeline
