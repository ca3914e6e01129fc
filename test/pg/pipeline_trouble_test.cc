// A worker of pipelines where what is around it fails: connections, clocks, other pipelines, other tasks of
// its sessions.

#include <fstream>
#include <memory>
#include <thread>

#include <fcntl.h>

#include <gtest/gtest.h>

#include "base/log.h"
#include "pg/transaction.h"
#include "schema/queries/pipelines.h"
#include "support/pipeline_worker_test.h"
#include "support/project_text.h"
#include "support/waiting.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;

class PipelineWorkerTrouble : public test::PipelineWorkerTest {
 protected:
  void TearDown() override {
    log::configure({});
    PipelineWorkerTest::TearDown();
  }
  /// What Weir logs goes to a file from here on.
  void keep_log() {
    const int fd = ::open(log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    log::configure({.fd = fd});
  }
  [[nodiscard]] std::string log_path() const { return (folder_ / "log").string(); }
  void until_logged(const std::string& words) const {
    test::wait_until(
        [&] {
          std::ifstream in(log_path());
          return std::string(std::istreambuf_iterator<char>(in), {}).find(words) != std::string::npos;
        },
        words);
  }
  void allow_connections(bool allowed) {
    pg::Session admin = pg::Connector(test::TestServer::shared().conninfo()).connect(pg::Role::api, "test");
    admin.execute("ALTER DATABASE \"" + database() + "\" ALLOW_CONNECTIONS " + (allowed ? "true" : "false"));
  }
};

TEST_F(PipelineWorkerTrouble, ATaskThatGetsNoConnectionHasNotFailed) {
  deploy_text("tasks:\n  a: {sql: select 1}\n");
  worker_ = make_worker(1);
  keep_log();
  worker_->asleep().enable();
  worker_->start();
  ASSERT_TRUE(worker_->asleep().wait(Deadline::after(20s)));
  allow_connections(false);
  const auto id = run();
  // After its slot the thread that settles has none, too.
  until_logged("outcomes could not be written");
  allow_connections(true);
  EXPECT_EQ(ended(id), "success");
}

TEST_F(PipelineWorkerTrouble, WhatATaskLeavesInItsSessionIsNotThereForTheNext) {
  sql_->execute("CREATE TABLE effect (zone text)");
  const std::string body =
      "    sql: |\n"
      "      create temp table scratch ();\n"
      "      insert into effect select current_setting('timezone');\n"
      "      set timezone = 'Asia/Kolkata';\n"
      "      select pg_advisory_lock(7);\n";
  deploy_text("tasks:\n  a:\n" + body + "  b:\n    after: a\n" + body);
  start_worker(1);
  const auto id = run();
  EXPECT_EQ(ended(id), "success") << said(id);
  EXPECT_EQ(text("SELECT count(DISTINCT zone) FROM effect"), "1");
  until("NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = 7)");
}

TEST_F(PipelineWorkerTrouble, TheLogOfACancelledCommandIsKept) {
  deploy_text(
      "tasks:\n  a: {shell: \"trap 'echo told; exit 3' TERM; echo begun > begun; sleep 1000 & wait\"}\n");
  start_worker();
  const auto id = run();
  test::wait_until([&] { return std::filesystem::exists(folder_ / "pipelines/p/begun"); }, "its begin");
  sql_->run<sql::CancelRun>(id);
  EXPECT_EQ(ended(id), "cancelled");
  until("EXISTS (SELECT FROM weir.task_log)");
  EXPECT_EQ(said(id).substr(0, 5), "told|") << said(id);
}

TEST_F(PipelineWorkerTrouble, TheLogOfACommandOutlivesItsSession) {
  deploy_text(
      "tasks:\n  a: {shell: \"echo one; until test -e go; do sleep 0.01; done; echo two; exit 3\"}\n");
  start_worker();
  const auto id = run();
  until("EXISTS (SELECT FROM weir.task_log)");
  terminate_slots();
  std::ofstream(folder_ / "pipelines/p/go").close();
  EXPECT_EQ(ended(id), "failed");
  until("(SELECT count(*) FROM weir.task_log) > 1");
  EXPECT_EQ(said(id).substr(0, 8), "one|two|") << said(id);
}

TEST_F(PipelineWorkerTrouble, AWaitThatHasLookedOftenOutlivesItsSession) {
  sql_->execute("CREATE TABLE arrived (n int)");
  sql_->execute("CREATE SEQUENCE looks");
  deploy_text(
      "tasks:\n"
      "  w: {wait: {sql: \"select case when nextval('looks') = 12 then pg_sleep(1000) is null else exists "
      "(select from arrived) end\", every: 1ms}}\n");
  start_worker(1);
  const auto id = run();
  until("last_value = 12 FROM looks");
  terminate_slots();
  sql_->execute("INSERT INTO arrived VALUES (1)");
  EXPECT_EQ(ended(id), "success");
}

TEST_F(PipelineWorkerTrouble, AConditionOfACommandOutlivesItsSession) {
  sql_->execute("CREATE SEQUENCE looks");
  deploy_text(
      "tasks:\n  a: {when: \"select nextval('looks') > 1 or pg_sleep(1000) is null\", run: ['true']}\n");
  start_worker(1);
  const auto id = run();
  until("is_called FROM looks");
  terminate_slots();
  EXPECT_EQ(ended(id), "success");
  EXPECT_EQ(text("SELECT string_agg(outcome, ',' ORDER BY attempt) FROM weir.task_attempt"), "lost,success");
}

TEST_F(PipelineWorkerTrouble, AClockThatStepsBeyondHistoryHoldsNothingUp) {
  deploy_text("tasks:\n  a: {sql: select 1}\n  b: {after: a, run: ['true']}\n");
  start_worker();
  EXPECT_EQ(ended(run()), "success");
  const auto drop = [&] {
    sql_->execute_script(
        "DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT inhrelid FROM pg_inherits WHERE inhparent IN "
        "('weir.run_done'::regclass, 'weir.task_done'::regclass, 'weir.task_attempt'::regclass) LOOP "
        "EXECUTE 'DROP TABLE ' || t; END LOOP; END $$");
  };
  drop();
  EXPECT_EQ(ended(run()), "success");
  // The same for what a dead process leaves.
  worker_.reset();
  const auto dies = process();
  const auto left = run();
  ASSERT_EQ(claim(*sql_, dies, 1, 1).size(), 1U);
  start_worker();  // it makes partitions when it starts
  drop();
  sql_->execute("UPDATE weir.process SET lease_until = now() - interval '1 s' WHERE id = $1", dies);
  EXPECT_EQ(ended(left), "success");
}

TEST_F(PipelineWorkerTrouble, AScheduleThatIsAheadOfTheClockGoesOn) {
  deploy_text("schedule: {every: 1s}\ntasks:\n  a: {run: ['true']}\n");
  sql_->execute(
      "UPDATE weir.pipeline SET fired_at = now() + interval '1 year', next_at = now() + interval '1 year'");
  const auto dead = process();
  sql_->execute("UPDATE weir.process SET lease_until = now() + interval '1 year' WHERE id = $1", dead);
  start_worker();
  until("count(*) > 1 FROM weir.run_done");
  EXPECT_EQ(text("SELECT count(DISTINCT logical_at) = count(*) FROM weir.run_done"), "true");
  EXPECT_EQ(text("SELECT lease_until < now() + interval '61 minutes' FROM weir.process WHERE id = " +
                 std::to_string(dead)),
            "true");
}

TEST_F(PipelineWorkerTrouble, APipelineThatCannotBeScheduledHoldsNoOtherUp) {
  auto read = test::read_files(
      {{"pipelines/a/pipeline.yml", "schedule: {every: 1s}\ntasks:\n  t: {run: ['true']}\n"},
       {"pipelines/b/pipeline.yml", "schedule: {every: 1s}\ntasks:\n  t: {run: ['true']}\n"},
       {"pipelines/c/pipeline.yml", "schedule: {every: 1s}\ntasks:\n  t: {run: ['true'], produces: x}\n"},
       {"pipelines/d/pipeline.yml", "schedule: {datasets: [x]}\ntasks:\n  t: {run: ['true']}\n"}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  // One that the server refuses, and two that a newer Weir has written.
  sql_->execute_script(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
      "CREATE TRIGGER refuse BEFORE INSERT ON weir.run FOR EACH ROW WHEN (NEW.pipeline_id = 1) EXECUTE "
      "FUNCTION refuse();"
      "UPDATE weir.pipeline_version SET definition = '{\"newer\": true}' WHERE pipeline_id IN (2, 4);"
      "INSERT INTO weir.dataset_update (pipeline_id, dataset) VALUES (4, 'x')");
  start_worker();
  until("count(*) > 2 FROM weir.run_done WHERE pipeline_id = 3");
  EXPECT_EQ(text("SELECT next_at > now() FROM weir.pipeline WHERE id = 1"), "true") << "it is tried again";
  EXPECT_EQ(text("SELECT next_at <= now() FROM weir.pipeline WHERE id = 2"), "true")
      << "it is due for others, who may be able to";
  EXPECT_EQ(text("SELECT count(*) FROM weir.dataset_update"), "1");
}

TEST_F(PipelineWorkerTrouble, WhatBecomesReadyWhileAProcessEndsIsToldToOthers) {
  deploy_text(
      "tasks:\n  a: {shell: \"echo > begun; until test -e go; do sleep 0.01; done\"}\n  b: {after: a, run: "
      "['true']}\n");
  start_worker(1);
  const auto id = run();
  test::wait_until([&] { return std::filesystem::exists(folder_ / "pipelines/p/begun"); }, "its begin");
  const auto other = make_worker(1);
  other->asleep().enable();
  other->start();
  ASSERT_TRUE(other->asleep().wait(Deadline::after(20s)));
  std::jthread stopping([&] { worker_->stop(); });
  // Woken by who ends, it looks, and lies down again.
  ASSERT_TRUE(other->asleep().wait(Deadline::after(20s)));
  std::ofstream(folder_ / "pipelines/p/go").close();
  EXPECT_EQ(ended(id), "success") << "it would have slept on for 30 s";
  stopping.join();
  other->stop();
}

TEST_F(PipelineWorkerTrouble, RunsOfAPipelineMakeItsModelsBesideEachOther) {
  auto read = test::read_files(
      {{"pipelines/p/pipeline.yml", "max_active_runs: 6\ntasks: {}\n"},
       {"pipelines/p/models/gold.sql",
        "/* weir\nkey: n\n*/\nselect n, weir.run_id() as run from generate_series(1, 9) n"}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  for (int i = 0; i < 6; ++i) run();
  start_worker(6);
  until("count(*) = 6 FROM weir.run_done");
  EXPECT_EQ(text("SELECT string_agg(DISTINCT state, ',') FROM weir.run_done"), "success");
  EXPECT_EQ(text("SELECT count(*) FROM weir.task_attempt WHERE outcome <> 'success'"), "0");
}

TEST_F(PipelineWorkerTrouble, TheEndOfATaskIsWrittenInTheTransactionOfItsData) {
  sql_->execute_script(
      "CREATE TABLE effect (run int8); CREATE TABLE seen (state text);"
      "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "INSERT INTO public.seen SELECT t.state FROM weir.task t WHERE t.run_id = NEW.run AND t.task_no = 0; "
      "RETURN NULL; END $$;"
      "CREATE CONSTRAINT TRIGGER look AFTER INSERT ON effect DEFERRABLE INITIALLY DEFERRED "
      "FOR EACH ROW EXECUTE FUNCTION look()");
  deploy_text("tasks:\n  a: {sql: insert into effect values (weir.run_id())}\n");
  start_worker();
  EXPECT_EQ(ended(run()), "success");
  EXPECT_EQ(text("SELECT string_agg(state, ',') FROM seen"), "success") << "at its COMMIT";
}

TEST_F(PipelineWorkerTrouble, WhatADeadProcessHasNotToldIsToldByAnother) {
  std::string tasks = "tasks:\n";
  for (const char name : std::string("abcdefghij")) tasks += std::string("  ") + name + ": {sql: select 1}\n";
  deploy_text(tasks + "  z: {after: [a, b, c, d, e, f, g, h, i, j], sql: select 1}\n");
  const auto id = run();
  const auto dies = process();
  for (const auto& attempt : claim(*sql_, dies, 1, 10)) finish(*sql_, attempt, "success");
  ASSERT_EQ(text("SELECT count(*) FROM weir.task WHERE state = 'success' AND NOT told"), "10");
  start_worker();
  EXPECT_EQ(ended(id), "success");
}

TEST_F(PipelineWorkerTrouble, ARunKeepsItsVersionThroughADeployment) {
  sql_->execute("CREATE TABLE effect (word text)");
  const auto text_with = [](const std::string& word) {
    return "tasks:\n  a: {shell: \"echo > begun; until test -e go; do sleep 0.01; done\"}\n"
           "  b: {after: a, sql: \"insert into effect values ('" +
           word + "')\"}\n";
  };
  deploy_text(text_with("old"));
  start_worker();
  const auto id = run();
  test::wait_until([&] { return std::filesystem::exists(folder_ / "pipelines/p/begun"); }, "its begin");
  deploy_text(text_with("new"));
  std::ofstream(folder_ / "pipelines/p/go").close();
  EXPECT_EQ(ended(id), "success");
  EXPECT_EQ(ended(run()), "success");
  EXPECT_EQ(text("SELECT string_agg(word, ',' ORDER BY ctid) FROM effect"), "old,new");
  EXPECT_EQ(text("SELECT string_agg(version::text, ',' ORDER BY id) FROM weir.run_done"), "1,2");
}

TEST_F(PipelineWorkerTrouble, WhatWaitsForTooLongIsNotTakenForTheTimeoutOfItsTask) {
  deploy_text("tasks:\n  a: {timeout: 1h, sql: select pg_advisory_xact_lock(4711)}\n");
  pg::Connector::Options options = users_connector().options();
  options.session.timeout = 2s;
  Surroundings at{.connector = std::make_shared<const pg::Connector>(users_connector().conninfo(), options),
                  .project = folder_};
  worker_ = std::make_unique<Worker>(std::move(at), WorkerOptions{.slots = 1, .lease = 60s});
  pg::Session gate = session();
  gate.execute("SELECT pg_advisory_lock(4711)");
  worker_->start();
  const auto id = run();
  until("EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted)");
  {
    // Its end cannot be written.
    pg::Session other = session();
    pg::Transaction holder(other);
    other.execute("SELECT FROM weir.task FOR UPDATE");
    gate.execute("SELECT pg_advisory_unlock(4711)");
    until("EXISTS (SELECT FROM weir.task_log)");
  }
  EXPECT_EQ(ended(id), "failed");
  EXPECT_EQ(said(id).find("its timeout"), std::string::npos) << said(id);
}

}  // namespace
}  // namespace weir::pipeline
