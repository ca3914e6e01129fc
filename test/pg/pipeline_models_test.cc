// Models as a worker writes them: beside their readers, and beside other runs.

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "pg/transaction.h"
#include "schema/queries/pipelines.h"
#include "support/pipeline_worker_test.h"
#include "support/project_text.h"

namespace weir::pipeline {
namespace {

class PipelineModels : public test::PipelineWorkerTest {
 protected:
  /// Pipelines p, which is this model, and q, whose command runs until it is cancelled.
  void deploy_model(const std::string& name, const std::string& text) {
    const auto read =
        test::read_files({{"pipelines/p/pipeline.yml", "tasks: {}\n"},
                          {"pipelines/p/models/" + name + ".sql", text},
                          {"pipelines/q/pipeline.yml", "tasks: {a: {run: [sleep, '1000']}}\n"}});
    ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
    std::filesystem::create_directories(folder_ / "pipelines/q");
    deploy(*sql_, read.project);
  }
};

TEST_F(PipelineModels, TheCareOfATableIsNotStoppedWhenAnotherRunIsCancelled) {
  // ANALYZE asks the function for a value of each row: only there it waits, for as long as the test wants.
  sql_->execute_script(
      "CREATE TABLE cared (id int PRIMARY KEY, v int);"
      "INSERT INTO cared SELECT n, 0 FROM generate_series(1, 2000) n;"
      "CREATE FUNCTION waits(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN "
      "WHILE current_query() LIKE 'VACUUM%' AND NOT pg_try_advisory_xact_lock_shared(4711) LOOP "
      "PERFORM pg_sleep(0.01); END LOOP; RETURN v; END $$;"
      "CREATE INDEX ON cared (waits(v))");
  deploy_model("cared", "/* weir\nkey: id\n*/\nselect n as id, 1 as v from generate_series(1, 2000) n");
  pg::Session gate = session();
  gate.execute("SELECT pg_advisory_lock(4711)");
  start_worker();
  const auto found = sql_->run<sql::FindPipeline>("q");
  const auto other = start_run(found.one().id);
  until("EXISTS (SELECT FROM weir.task WHERE state = 'running')");
  const auto id = run();
  until(
      "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'VACUUM%' AND "
      "wait_event = 'PgSleep')");
  // The worker looks for all that it is to stop.
  sql_->run<sql::CancelRun>(other);
  EXPECT_EQ(ended(other), "cancelled");
  gate.execute("SELECT pg_advisory_unlock(4711)");
  EXPECT_EQ(ended(id), "success");
  until("EXISTS (SELECT FROM weir.task_log WHERE run_id = " + std::to_string(id) + ")");
  EXPECT_EQ(said(id).find("not vacuumed"), std::string::npos) << said(id);
}

TEST_F(PipelineModels, AViewThatIsAsItWasIsNotTakenFromItsReaders) {
  sql_->execute("CREATE TABLE base (id int, word text)");
  deploy_model(
      "seen",
      "/* weir\nmaterialized: view\ntimeout: 20s\nchecks:\n  - sql: select count(*) = 0 from this()\n*/\n"
      "select b.*, upper(word) as loud from base b where id > 0");
  start_worker();
  EXPECT_EQ(ended(run()), "success");
  pg::Session reader = session();
  pg::Transaction reads(reader);
  reader.execute("SELECT FROM seen");
  EXPECT_EQ(ended(run()), "success") << "it has not waited for the reader";
  EXPECT_EQ(text("SELECT count(*) FROM pg_class WHERE relname = 'weir_look'"), "0");
}

TEST_F(PipelineModels, NobodyWaitsBehindAViewThatWaitsForAReader) {
  deploy_model("seen", "/* weir\nmaterialized: view\n*/\nselect 1 as id");
  start_worker();
  EXPECT_EQ(ended(run()), "success");
  pg::Session reader = session();
  pg::Transaction reads(reader);
  reader.execute("SELECT FROM seen");
  deploy_model("seen", "/* weir\nmaterialized: view\n*/\nselect 2 as id");
  const auto id = run();
  until(
      "EXISTS (SELECT FROM pg_locks WHERE relation = 'seen'::regclass AND mode = 'AccessExclusiveLock' AND "
      "NOT "
      "granted)");
  pg::Session next = session();
  next.execute("SET lock_timeout = '5s'");
  EXPECT_EQ(next.execute("SELECT id FROM seen")[0].get<std::int32_t>(0), 1);
  reads.rollback();
  EXPECT_EQ(ended(id), "success");
  EXPECT_EQ(text("SELECT id FROM seen"), "2");
}

}  // namespace
}  // namespace weir::pipeline
