// Pipelines on a server that crashes, restarts and refuses writes, with a worker in this process.

#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pipeline/run/deploy.h"
#include "pipeline/run/worker.h"
#include "schema/migrator.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "schema/queries/work.h"
#include "support/project_text.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;

class PipelineChaosServer : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder());
    pg::Session session = this->session();
    session.set("synchronous_commit", "on");
    schema::migrate(session);
    session.execute("CREATE TABLE public.effect (run int8, word text)");
  }
  [[nodiscard]] std::filesystem::path folder() const { return scratch_.path() / "pipelines/p"; }
  [[nodiscard]] pg::Connector connector() const { return {server_.conninfo(), {.users_search_path = true}}; }
  [[nodiscard]] pg::Session session() const { return connector().connect(pg::Role::api, "test"); }
  /// Also while the server comes and goes.
  std::string text(const std::string& sql) const {
    for (const Deadline limit = Deadline::after(20s);;) {
      try {
        pg::Session session = this->session();
        return session.execute("SELECT (" + sql + ")::text")[0].get<std::optional<std::string>>(0).value_or(
            "null");
      } catch (const pg::ConnectionLost&) {
        if (limit.expired()) throw;
      }
    }
  }
  void until(const std::string& condition, Duration limit = 30s) const {
    test::wait_until([&] { return text("SELECT " + condition) == "true"; }, condition, limit);
  }

  void deploy_text(const std::string& text) {
    auto read = test::read_files(
        {{"pipelines/p/pipeline.yml", text},
         {"pipelines/p/models/gold.sql",
          "/* weir\nkey: n\n*/\nselect n, pg_sleep(0.02)::text as slow from generate_series(1, 3) n"}});
    ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
    pg::Session session = this->session();
    session.set("synchronous_commit", "on");
    deploy(session, read.project);
  }
  std::int64_t run() {
    pg::Session session = this->session();
    session.set("synchronous_commit", "on");
    const auto found = session.run<sql::FindPipeline>("p");
    const auto made = session.execute(
        "SELECT weir.create_run($1, 'manual', clock_timestamp(), clock_timestamp(), clock_timestamp(), '{}')",
        found.one().id);
    session.run<sql::StartRuns>(found.one().id);
    return made[0].get<std::int64_t>(0);
  }
  std::unique_ptr<Worker> worker(Duration lease) {
    Surroundings at{.connector = std::make_shared<const pg::Connector>(connector()),
                    .project = scratch_.path()};
    auto worker = std::make_unique<Worker>(std::move(at),
                                           WorkerOptions{.slots = 3, .lease = lease, .longest_sleep = 2s});
    worker->start();
    return worker;
  }
  [[nodiscard]] int lines(const std::string& file) const {
    std::ifstream in(folder() / file);
    return static_cast<int>(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
  }
  void touch(const std::string& file) const { std::ofstream(folder() / file).close(); }

  test::TestServer server_;
  test::ScratchFolder scratch_{"pipeline-server"};
};

TEST_F(PipelineChaosServer, TheStartOfACommandOutlivesACrashOfTheServer) {
  deploy_text("tasks:\n  a: {run: ['true']}\n  b: {sql: select 1}\n");
  std::int64_t process = 0;
  {
    pg::Session starting = session();
    starting.set("synchronous_commit", "on");
    const auto registered = starting.run<sql::RegisterProcess>("test", std::int64_t{3'600'000});
    process = registered.one().id;
  }
  run();
  {
    // As who claims does it; the server is gone right behind it.
    pg::Session claiming = session();
    claiming.set("synchronous_commit", "off");
    ASSERT_EQ(
        claiming.run<sql::ClaimTasks>(process, std::int64_t{1}, 10, 0, 0, std::vector<std::int64_t>()).size(),
        3)
        << "a, b and the model";
    server_.kill();
  }
  server_.start();
  EXPECT_EQ(text("SELECT state FROM weir.task WHERE task_no = 0 AND durable"), "running")
      << "forgotten it would be started a second time, beside the first";
}

TEST_F(PipelineChaosServer, ACommandThatRunsIsNotStartedAgainByACrashOfTheServer) {
  deploy_text(
      "tasks:\n"
      "  a: {shell: \"echo begun >> begun; until test -e go; do sleep 0.01; done; echo over\"}\n"
      "  b: {after: a, sql: \"insert into effect values (weir.run_id(), 'b')\"}\n");
  const auto working = worker(15s);
  const auto id = run();
  test::wait_until([&] { return lines("begun") == 1; }, "its begin");
  server_.kill();
  touch("go");
  server_.start();
  until(fmt::format("EXISTS (SELECT FROM weir.run_done WHERE id = {})", id));
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "success");
  EXPECT_EQ(lines("begun"), 1);
  EXPECT_EQ(text("SELECT string_agg(word, ',') FROM effect"), "b");
  EXPECT_EQ(text("SELECT string_agg(l, ',') FROM weir.task_log, unnest(lines) l WHERE task_no = 0"), "over")
      << "what it said while the server was away";
}

TEST_F(PipelineChaosServer, RestartsInMidRunAreNobodysFailure) {
  std::string tasks = "max_active_runs: 4\ntasks:\n";
  for (int i = 0; i < 12; ++i) {
    tasks += fmt::format(
        "  t{0}: {{{1}sql: \"insert into effect select weir.run_id(), 't{0}' from pg_sleep(0.05)\"}}\n", i,
        i == 0 ? "" : fmt::format("after: t{}, ", i - 1));
  }
  tasks +=
      "  m: {after: t3, when: select pg_sleep(0.02) is not null, map: {sql: \"select 1 from "
      "generate_series(1, 9), "
      "pg_sleep(0.05)\"}, run: ['true']}\n";
  deploy_text(tasks);
  const auto working = worker(15s);
  for (int i = 0; i < 4; ++i) run();
  for (int i = 1; i <= 3; ++i) {
    until(fmt::format("count(*) >= {} FROM effect", i * 11));
    i == 2 ? server_.kill() : server_.stop();
    server_.start();
  }
  until("count(*) = 4 FROM weir.run_done", 60s);
  EXPECT_EQ(text("SELECT string_agg(DISTINCT state, ',') FROM weir.run_done"), "success")
      << text("SELECT string_agg(error, '|') FROM weir.task_done");
  EXPECT_EQ(text("SELECT count(*) FROM effect"), "48");
  EXPECT_EQ(text("SELECT count(DISTINCT (run, word)) FROM effect"), "48");
}

TEST_F(PipelineChaosServer, ACommitInDoubtWaitsForTheServer) {
  deploy_text("tasks:\n  a: {sql: \"insert into effect values (weir.run_id(), 'a')\"}\n");
  {
    pg::Session session = this->session();
    session.set("synchronous_commit", "on");
    session.execute_script(
        "CREATE FUNCTION public.wait_for_gate() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(1); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON public.effect DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION public.wait_for_gate()");
  }
  const auto working = worker(15s);
  pg::Session gate = session();
  gate.execute("SELECT pg_advisory_lock(1)");
  const auto id = run();
  until("EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 1)");
  server_.kill();
  // The answer to COMMIT is lost, and so is who asks what came of it.
  EXPECT_THROW(gate.execute("SELECT 1"), pg::ConnectionLost);
  test::wait_until([&] { return working->stats().in_flight >= 1; }, "its slot");
  server_.start();
  until(fmt::format("EXISTS (SELECT FROM weir.run_done WHERE id = {})", id));
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "success");
  EXPECT_EQ(text("SELECT count(*) FROM effect"), "1");
}

TEST_F(PipelineChaosServer, AServerThatTakesNoWritesForAWhileLosesNothing) {
  deploy_text(
      "schedule: {every: 1s, missed: all}\n"
      "max_active_runs: 3\n"
      "tasks:\n"
      "  a: {sql: \"insert into effect values (weir.run_id(), 'a')\"}\n"
      "  c: {after: a, run: [sleep, '0.05']}\n"
      "  b: {after: c, sql: \"insert into effect values (weir.run_id(), 'b')\"}\n");
  const auto working = worker(1s);
  until("count(*) >= 2 FROM weir.run_done");
  const auto read_only = [&](bool on) {
    pg::Session session = this->session();
    session.execute(fmt::format("ALTER SYSTEM SET default_transaction_read_only = {}", on ? "on" : "off"));
    session.execute("SELECT pg_reload_conf()");
  };
  for (int round = 0; round < 2; ++round) {
    read_only(true);
    // Until the lease is lost: it cannot be renewed.
    until("max(lease_until) < clock_timestamp() FROM weir.process");
    read_only(false);
    const std::string done = text("SELECT count(*) FROM weir.run_done");
    until("count(*) > " + done + " + 2 FROM weir.run_done");
  }
  {
    pg::Session session = this->session();
    session.execute("UPDATE weir.pipeline SET next_at = NULL");
  }
  until("count(*) = 0 FROM weir.run");
  EXPECT_EQ(text("SELECT string_agg(DISTINCT state, ',') FROM weir.run_done"), "success")
      << text("SELECT string_agg(error, '|') FROM weir.task_done");
  EXPECT_EQ(text("SELECT count(*) FROM effect"), text("SELECT 2 * count(*) FROM weir.run_done"));
  EXPECT_EQ(text("SELECT count(*) FROM (SELECT FROM effect GROUP BY run, word HAVING count(*) > 1) d"), "0");
  EXPECT_EQ(
      text("SELECT count(*) FROM (SELECT FROM weir.run_done GROUP BY logical_at HAVING count(*) > 1) d"),
      "0");
}

}  // namespace
}  // namespace weir::pipeline
