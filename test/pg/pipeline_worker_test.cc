// Pipelines from their text to their history: deployed, scheduled, run by a worker.

#include "support/pipeline_worker_test.h"

#include <fstream>

#include <gtest/gtest.h>

#include "pipeline/run/explain.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "support/project_text.h"
#include "support/waiting.h"

namespace weir::pipeline {
namespace {

class PipelineWorker : public test::PipelineWorkerTest {};

TEST_F(PipelineWorker, SqlCommitsWithTheSuccessOfItsTask) {
  sql_->execute("CREATE TABLE effect (run int8, word text)");
  deploy_text(
      "tasks:\n"
      "  a: {sql: \"insert into effect values (weir.run_id(), weir.param('word', 'two'))\"}\n"
      "  b: {after: a, sql: \"insert into effect select run, word || '!' from effect\"}\n");
  start_worker();
  const auto id = run();
  EXPECT_EQ(ended(id), "success");
  EXPECT_EQ(text("SELECT count(*) FROM effect"), "2");
  EXPECT_EQ(text("SELECT count(*) FROM effect WHERE run = " + std::to_string(id)), "2");
}

TEST_F(PipelineWorker, WhatFailsIsUndoneSaysWhereAndIsTriedAgain) {
  sql_->execute("CREATE TABLE effect (n int)");
  sql_->execute("CREATE SEQUENCE tries");
  deploy_text(
      "tasks:\n"
      "  a:\n"
      "    retry: {attempts: 3, delay: 10ms, jitter: false}\n"
      "    sql: |\n"
      "      insert into effect values (1);\n"
      "      select 1 / (nextval('tries') - 1);\n");
  start_worker();
  const auto id = run();
  EXPECT_EQ(ended(id), "success");
  EXPECT_EQ(text("SELECT count(*) FROM effect"), "1") << "what the failing attempts wrote is gone";
  EXPECT_EQ(text("SELECT string_agg(outcome, ',' ORDER BY attempt) FROM weir.task_attempt"), "failed,success")
      << said(id);
}

TEST_F(PipelineWorker, ACommandSaysAndChooses) {
  deploy_text(
      "tasks:\n"
      "  choose:\n"
      "    shell: |\n"
      "      echo hello from $WEIR_TASK\n"
      "      echo '{\"weir\":\"branch\",\"tasks\":[\"left\"]}'\n"
      "  left: {after: choose, run: ['true']}\n"
      "  right: {after: choose, run: ['false']}\n"
      "  last: {after: [left, right], trigger_rule: none_failed, run: [echo, done]}\n");
  start_worker();
  const auto id = run();
  EXPECT_EQ(ended(id), "success");
  EXPECT_NE(said(id).find("hello from choose"), std::string::npos) << said(id);
  EXPECT_EQ(text("SELECT string_agg(state, ',' ORDER BY task_no) FROM weir.task_done"),
            "success,success,skipped,success");
}

TEST_F(PipelineWorker, ACancelledRunStopsItsCommands) {
  deploy_text("tasks:\n  a: {run: [sleep, '1000']}\n  b: {after: a, run: ['true']}\n");
  start_worker();
  const auto id = run();
  until("EXISTS (SELECT FROM weir.task WHERE state = 'running')");
  sql_->run<sql::CancelRun>(id);
  EXPECT_EQ(ended(id), "cancelled");
  EXPECT_EQ(text("SELECT string_agg(state, ',' ORDER BY task_no) FROM weir.task_done"),
            "cancelled,cancelled");
}

TEST_F(PipelineWorker, WhatACommandSaysIsSeenWhileItRuns) {
  deploy_text(
      "tasks:\n"
      "  a:\n"
      "    shell: |\n"
      "      echo one\n"
      "      echo two\n"
      "      echo '{\"weir\":\"progress\",\"done\":1,\"of\":10}'\n"
      "      echo '{\"weir\":\"progress\",\"done\":7,\"of\":10}'\n"
      "      until test -e ../go; do sleep 0.01; done\n");
  start_worker();
  const auto id = run();
  // It has fallen silent: the last word comes all the same.
  until("EXISTS (SELECT FROM weir.task WHERE progress @> '{\"attempt\": 1, \"done\": 7, \"of\": 10}')");
  until("EXISTS (SELECT FROM weir.task_log WHERE 'two' = ANY (lines))");
  const auto tasks = sql_->run<sql::ListTasks>(id);
  EXPECT_EQ(tasks.one().progress->text, R"({"of": 10, "done": 7, "attempt": 1})");
  std::ofstream(folder_ / "pipelines/go").flush();
  EXPECT_EQ(ended(id), "success");
  EXPECT_EQ(said(id), "one|two");
  const auto after = sql_->run<sql::ListTasks>(id);
  EXPECT_FALSE(after.one().progress);
}

TEST_F(PipelineWorker, ManyWordsAreFewWritesAndSilenceIsNone) {
  deploy_text(
      "tasks:\n"
      "  loud:\n"
      "    shell: |\n"
      "      for i in $(seq 300); do echo '{\"weir\":\"progress\",\"done\":'$i'}'; sleep 0.005; done\n"
      "      until test -e ../go; do sleep 0.01; done\n"
      "  quiet: {after: loud, run: ['true']}\n");
  sql_->execute("CREATE TABLE written (no int, done int, at timestamptz DEFAULT clock_timestamp())");
  sql_->execute(
      "CREATE FUNCTION count_writes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO "
      "public.written "
      "VALUES (new.task_no, (new.progress ->> 'done')::int); RETURN NULL; END $$");
  sql_->execute(
      "CREATE TRIGGER t AFTER UPDATE ON weir.task FOR EACH ROW WHEN (new.progress IS DISTINCT FROM "
      "old.progress) EXECUTE FUNCTION count_writes()");
  start_worker();
  const auto id = run();
  until("EXISTS (SELECT FROM written WHERE done = 300)");
  std::ofstream(folder_ / "pipelines/go").flush();
  EXPECT_EQ(ended(id), "success");
  EXPECT_EQ(text("SELECT count(*) <= extract(epoch FROM max(at) - min(at)) + 2 FROM written"), "true")
      << text("SELECT count(*) || ' within ' || (max(at) - min(at)) FROM written");
  EXPECT_EQ(text("SELECT count(*) FROM written WHERE no = 1"), "0");
}

TEST_F(PipelineWorker, WhatACancelledCommandSaidIsKept) {
  deploy_text("tasks:\n  a: {shell: 'echo begun; touch ../spoken; exec sleep 1000'}\n");
  start_worker();
  const auto id = run();
  test::wait_until([&] { return std::filesystem::exists(folder_ / "pipelines/spoken"); },
                   "the command to speak");
  sql_->run<sql::CancelRun>(id);
  EXPECT_EQ(ended(id), "cancelled");
  until("EXISTS (SELECT FROM weir.task_log)");
  EXPECT_TRUE(said(id).starts_with("begun|it was stopped")) << said(id);
}

TEST_F(PipelineWorker, AMappedTaskRunsOncePerElement) {
  sql_->execute("CREATE TABLE effect (n int)");
  deploy_text(
      "tasks:\n"
      "  a: {map: {sql: 'select n from generate_series(1, 20) n', max_parallel: 3}, sql: \"insert into "
      "effect select (weir.item() ->> 'n')::int\"}\n"
      "  b: {after: a, sql: \"insert into effect select -count(*) from effect\"}\n");
  start_worker();
  const auto id = run();
  EXPECT_EQ(ended(id), "success") << said(id);
  EXPECT_EQ(text("SELECT sum(n) FROM effect"), "190") << "210, and the count of 20 taken away";
}

TEST_F(PipelineWorker, AConditionSkips) {
  deploy_text("tasks:\n  a: {when: select false, run: ['false']}\n  b: {after: a, run: ['false']}\n");
  start_worker();
  EXPECT_EQ(ended(run()), "success");
  EXPECT_EQ(text("SELECT string_agg(state, ',' ORDER BY task_no) FROM weir.task_done"), "skipped,skipped");
}

TEST_F(PipelineWorker, ASensorHoldsNoSlotAndGoesOnWhenItHasCome) {
  sql_->execute("CREATE TABLE arrived ()");
  deploy_text(
      "tasks:\n"
      "  w: {wait: {sql: select exists (select from arrived), every: 10ms}}\n"
      "  b: {after: w, run: ['true']}\n"
      "  c: {run: ['true']}\n");
  start_worker(1);
  const auto id = run();
  until("EXISTS (SELECT FROM weir.task WHERE state = 'success')");
  sql_->execute("INSERT INTO arrived DEFAULT VALUES");
  EXPECT_EQ(ended(id), "success");
}

TEST_F(PipelineWorker, AScheduleMakesRunsAndARedeploymentKeepsThoseThatHaveBegun) {
  deploy_text("schedule: {every: 1s}\ntasks:\n  a: {run: ['true']}\n");
  start_worker();
  until("count(*) >= 2 FROM weir.run_done WHERE kind = 'scheduled' AND state = 'success'");
  EXPECT_EQ(text("SELECT count(DISTINCT logical_at) = count(*) FROM weir.run_done"), "true");
  deploy_text("schedule: {every: 1s}\ntasks:\n  a: {run: ['true']}\n  b: {after: a, run: ['true']}\n");
  until("max(version) = 2 FROM weir.run_done");
  EXPECT_EQ(text("SELECT max(tasks) FROM weir.run_done WHERE version = 1"), "1");
}

TEST_F(PipelineWorker, AModelWhoseCheckFailsIsNotSeen) {
  sql_->execute("CREATE TABLE src (id int, v int)");
  sql_->execute("INSERT INTO src VALUES (1, 1)");
  auto read = test::read_files({{"pipelines/p/pipeline.yml", "tasks: {}\n"},
                                {"pipelines/p/models/gold.sql",
                                 "/* weir\nkey: id\nchecks:\n  - not_null: v\n*/\nselect id, v from src"}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  start_worker();
  EXPECT_EQ(ended(run()), "success");
  EXPECT_EQ(text("SELECT string_agg(id || ':' || v, ',') FROM gold"), "1:1");
  sql_->execute("INSERT INTO src VALUES (2, NULL)");
  EXPECT_EQ(ended(run()), "failed");
  EXPECT_EQ(text("SELECT string_agg(id || ':' || v, ',') FROM gold"), "1:1") << "nothing of it was committed";
  EXPECT_NE(text("SELECT max(error) FROM weir.task_done").find("check not_null"), std::string::npos)
      << text("SELECT max(error) FROM weir.task_done");
}

TEST_F(PipelineWorker, AModelTakesParametersThatAreLong) {
  auto read = test::read_files({{"pipelines/p/pipeline.yml", "parameters: {word: x}\ntasks: {}\n"},
                                {"pipelines/p/models/gold.sql",
                                 "/* weir\nkey: id\n*/\nselect 1 as id, length(weir.param('word')) as n, "
                                 "right(weir.param('word'), 5) as last"}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  start_worker();
  const auto found = sql_->run<sql::FindPipeline>("p");
  const auto made = sql_->execute(
      "SELECT weir.create_run($1, 'manual', now(), now(), now(), jsonb_build_object('word', repeat('long ', "
      "20000) || $2::text))",
      found.one().id, std::string(R"(\'" )"));
  sql_->run<sql::StartRuns>(found.one().id);
  EXPECT_EQ(ended(made[0].get<std::int64_t>(0)), "success") << text("SELECT max(error) FROM weir.task_done");
  EXPECT_EQ(text("SELECT n || last FROM gold"), R"(100004 \'" )");
}

TEST_F(PipelineWorker, AWaitSeesARunThatWasMadeLongBeforeItsTime) {
  auto read =
      test::read_files({{"pipelines/p/pipeline.yml", "tasks: {w: {wait: {pipeline: q, every: 10ms}}}\n"},
                        {"pipelines/q/pipeline.yml", "tasks: {a: {sql: select 1}}\n"}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  start_worker();
  const auto ahead = [&](const char* pipeline, const char* by) {
    const auto found = sql_->run<sql::FindPipeline>(pipeline);
    const auto made = sql_->execute(
        "SELECT weir.create_run($1, 'manual', t, t, t, '{}') FROM (SELECT date_trunc('day', now()) + "
        "$2::text::interval) "
        "d(t)",
        found.one().id, std::string_view(by));
    sql_->run<sql::StartRuns>(found.one().id);
    return made[0].get<std::int64_t>(0);
  };
  const auto waits = ahead("p", "20 days");
  EXPECT_EQ(ended(ahead("q", "19 days")), "success");
  until("attempt > 2 FROM weir.task WHERE pool_id IS NOT NULL");
  EXPECT_EQ(states(waits).substr(0, 3), "t0 ") << "that was for the day before";
  const auto early = ahead("q", "20 days");
  EXPECT_EQ(ended(early), "success");
  EXPECT_EQ(ended(waits), "success");
  sql_->run<sql::BeginAgain>(early, std::vector<std::int32_t>{});
  EXPECT_EQ(text("SELECT count(*) FROM weir.early_success WHERE run_id = " + std::to_string(early) +
                 " AND NOT EXISTS (SELECT FROM weir.run_done WHERE id = run_id)"),
            "0")
      << "it has not succeeded any more";
}

TEST_F(PipelineWorker, WhyATaskWaitsIsSaid) {
  deploy_text("tasks:\n  a: {run: ['true']}\n  b: {after: a, run: ['true']}\n");
  const auto id = run();
  const auto first = explain_task(*sql_, id, 0, -1);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->state, "ready");
  EXPECT_EQ(first->reasons.at(0), "nobody works on pipelines just now: weir up, or weir worker");
  const auto second = explain_task(*sql_, id, 1, -1);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->reasons.at(0), "it comes after a, which is ready");
  EXPECT_FALSE(explain_task(*sql_, id, 9, -1));
}

}  // namespace
}  // namespace weir::pipeline
