// SQL of users as a task, in its caller's transaction.
#include <fstream>
#include <future>
#include <thread>

#include <sys/resource.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "exec/child.h"
#include "pg/row.h"
#include "pg/transaction.h"
#include "pipeline/task/sql_task.h"
#include "support/actions.h"
#include "support/database.h"
#include "support/errors.h"
#include "support/waiting.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PipelineSqlTask : public test::SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    session().execute("CREATE TABLE note (id int PRIMARY KEY, text text NOT NULL)");
    context.run = 17;
    context.task = "load";
    context.logical_time = std::chrono::sys_days(std::chrono::year(2026) / 3 / 29);
    context.interval = {context.logical_time - 24h, context.logical_time};
    context.params = R"({"day":"2026-03-28","n":1.10,"quote":"it's \\","ü":null})";
  }

  std::vector<SqlStatementDone> run(pg::Session& session, const std::string& text, SqlTask task = {}) {
    const SqlScript script(text, "p/load.sql");
    task.script = &script;
    task.context = &context;
    return run_sql(session, task);
  }
  Error failure(const std::string& text) {
    pg::Session session = this->session();
    const pg::Transaction transaction(session);
    return test::failure_of([&] { run(session, text); });
  }
  std::int64_t notes() { return session().execute("SELECT count(*) FROM note")[0].get<std::int64_t>(0); }
  /// The value of an expression, as text, in a task.
  std::string value(const std::string& expression) {
    pg::Session session = this->session();
    pg::Transaction transaction(session);
    run(session,
        "CREATE TEMPORARY TABLE answer ON COMMIT DROP AS SELECT (" + expression + ")::text AS value");
    return session.execute("SELECT value FROM answer")[0].get<std::optional<std::string>>(0).value_or("NULL");
  }

  TaskContext context;
};

TEST_F(PipelineSqlTask, StatementsCommitWithTheirCaller) {
  pg::Session session = this->session();
  std::vector<std::string> seen;
  {
    pg::Transaction transaction(session);
    const auto done = run(session,
                          "INSERT INTO note SELECT i, 'x' FROM generate_series(1, 3) i;\n-- c\nUPDATE note "
                          "SET text = 'y'\nWHERE id > 1;",
                          {.done = [&](const SqlStatementDone& one) { seen.push_back(one.place); }});
    ASSERT_EQ(done.size(), 2U);
    EXPECT_EQ(done[0].rows, 3);
    EXPECT_EQ(done[1].rows, 2);
    EXPECT_EQ(done[1].command, "UPDATE 2");
    EXPECT_THAT(seen, ElementsAre("p/load.sql:1", "p/load.sql:3"));
    EXPECT_TRUE(session.in_transaction());
    EXPECT_EQ(notes(), 0);
    transaction.commit();
  }
  EXPECT_EQ(notes(), 3);
}

TEST_F(PipelineSqlTask, KnowsItsRun) {
  EXPECT_EQ(value("weir.param('day')::date"), "2026-03-28");
  EXPECT_EQ(value("weir.param('n')::numeric"), "1.10");
  EXPECT_EQ(value("weir.param('quote')"), "it's \\");
  EXPECT_EQ(value("weir.param('gone', 'default')"), "default");
  EXPECT_EQ(value("weir.param('day', 'default')"), "2026-03-28");
  EXPECT_EQ(value("weir.interval_start() AT TIME ZONE 'UTC'"), "2026-03-28 00:00:00");
  EXPECT_EQ(value("weir.interval_end() - weir.interval_start()"), "1 day");
  EXPECT_EQ(value("weir.logical_time() = weir.interval_end()"), "true");
  EXPECT_EQ(value("weir.run_id() + 1"), "18");
  context.item = R"({"id":7})";
  EXPECT_EQ(value("weir.item() ->> 'id'"), "7");
}

TEST_F(PipelineSqlTask, ItsWatermarkIsKeptWithItsDataOrNotAtAll) {
  const std::string text =
      "INSERT INTO note SELECT i, 'x' FROM generate_series(coalesce(weir.watermark()::int, 0) + 1, 10) i;"
      "SELECT weir.set_watermark('10'), weir.set_watermark('\"b\"', 'other')";
  context.pipeline = "p";
  const auto mark = [&] { return value("weir.watermark()"); };
  {
    pg::Session session = this->session();
    const pg::Transaction undone(session);
    run(session, text);
  }
  EXPECT_EQ(mark(), "NULL");
  {
    pg::Session session = this->session();
    pg::Transaction transaction(session);
    run(session, text);
    transaction.commit();
  }
  EXPECT_EQ(mark(), "10");
  EXPECT_EQ(value("weir.watermark('other') #>> '{}'"), "b");
  EXPECT_EQ(notes(), 10);
  context.item = "1";
  EXPECT_EQ(mark(), "NULL") << "each piece has its own";
  context.item = std::string(9000, 'x');
  EXPECT_EQ(mark(), "NULL");
  context.item.reset();
  context.task = "another";
  EXPECT_EQ(mark(), "NULL") << "each task has its own";
}

TEST_F(PipelineSqlTask, AWatermarkIsAskedOnceForATable) {
  context.pipeline = "p";
  session().execute("INSERT INTO note SELECT i, 'x' FROM generate_series(1, 1000) i");
  session().execute("CREATE TABLE copy (id int)");
  pg::Session session = this->session();
  session.execute("SET track_functions = 'pl'");
  for (int round = 1; round <= 2; ++round) {
    pg::Transaction transaction(session);
    run(session,
        "WITH new AS (INSERT INTO copy SELECT id FROM note WHERE id > (SELECT "
        "coalesce(weir.watermark()::int, 0)) "
        "RETURNING id) SELECT weir.set_watermark(to_jsonb(max(id))) FROM new HAVING count(*) > 0");
    // In the transaction, for the server tells of others' late.
    const auto calls = session.execute(
        "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_xact_user_functions WHERE funcname = 'watermark'");
    EXPECT_LE(calls[0].get<std::int64_t>(0), 2 * round) << "those of the round before may not be told yet";
    transaction.commit();
  }
  EXPECT_EQ(session.execute("SELECT count(*) FROM copy")[0].get<std::int64_t>(0), 1000);
}

TEST_F(PipelineSqlTask, WithoutATransactionThereIsNoWatermark) {
  context.pipeline = "p";
  pg::Session session = this->session();
  const Error error = test::failure_of([&] { run(session, "SELECT weir.set_watermark('1')"); });
  EXPECT_THAT(error.what(), HasSubstr("a watermark is kept with its transaction"));
  EXPECT_THAT(error.remedy(), HasSubstr("transaction: false"));
}

TEST_F(PipelineSqlTask, OfTwoRunsAtATimeTheSecondReadsWhatTheFirstHasWritten) {
  context.pipeline = "p";
  const std::string text =
      "INSERT INTO note SELECT i, 'x' FROM generate_series(coalesce(weir.watermark()::int, 0) + 1, 10) i;"
      "SELECT weir.set_watermark('10')";
  pg::Session first = this->session();
  pg::Transaction transaction(first);
  run(first, text);
  std::promise<int> backend;
  std::jthread other = test::in_background([&] {
    pg::Session second = this->session();
    pg::Transaction its(second);
    backend.set_value(second.backend_pid());
    run(second, text);
    its.commit();
  });
  test::wait_until_blocked(connector(), backend.get_future().get());
  transaction.commit();
  other.join();
  EXPECT_EQ(notes(), 10) << "a second time it would have been refused";
}

TEST_F(PipelineSqlTask, WhatItDoesNotHaveIsAnErrorWithARemedy) {
  for (const char* const name : {"gone", "ü"}) {
    const Error error = failure("SELECT 1;\nSELECT weir.param('" + std::string(name) + "')");
    EXPECT_THAT(error.what(), HasSubstr("p/load.sql:2: no parameter '" + std::string(name) + "' here"));
    EXPECT_THAT(error.remedy(), HasSubstr("set_config('weir.params'"));
  }
  EXPECT_THAT(failure("SELECT weir.item()").what(), HasSubstr("no item here"));
}

TEST_F(PipelineSqlTask, SettingsEndWithTheTransaction) {
  pg::Session session = this->session();
  {
    pg::Transaction transaction(session);
    run(session, "SELECT 1");
    transaction.commit();
  }
  EXPECT_EQ(session.execute("SELECT current_setting('weir.params', true)")[0].get<std::string>(0), "");
  EXPECT_EQ(session.execute("SELECT weir.param('day', 'none')")[0].get<std::string>(0), "none");
}

TEST_F(PipelineSqlTask, ErrorsNameTheFileAndTheLineInIt) {
  const Error syntax = failure("SELECT 1;\n\nSELECT 'ü',\n  id FRM note;\n");
  EXPECT_THAT(syntax.what(), testing::StartsWith("p/load.sql:4:"));
  EXPECT_EQ(syntax.sqlstate(), "42601");
  const Error column = failure("SELECT 1;\nSELECT id,\n       'ü', txt FROM note");
  EXPECT_THAT(column.what(), testing::StartsWith("p/load.sql:3:13: column \"txt\" does not exist"));
  const Error constraint = failure("INSERT INTO note VALUES (1, 'a');\n INSERT INTO note VALUES (1, 'b')");
  EXPECT_THAT(constraint.what(), testing::StartsWith("p/load.sql:2: duplicate key"));
  EXPECT_EQ(constraint.failure(), Failure::statement);
  EXPECT_EQ(notes(), 0);
}

TEST_F(PipelineSqlTask, KindsOfErrorsStay) {
  pg::Session holder = session();
  const pg::Transaction held(holder);
  holder.execute("LOCK TABLE note");
  const Error error = failure("SET LOCAL lock_timeout = '1ms';\nINSERT INTO note VALUES (1, 'a')");
  EXPECT_EQ(error.failure(), Failure::lock_timeout);
  EXPECT_THAT(error.what(), HasSubstr("p/load.sql:2"));
}

TEST_F(PipelineSqlTask, WhatNeedsToStandAloneSaysHow) {
  const Error error = failure("SELECT 1;\nVACUUM note");
  EXPECT_THAT(error.what(), HasSubstr("p/load.sql:2"));
  EXPECT_THAT(error.remedy(), HasSubstr("transaction: false"));
}

TEST_F(PipelineSqlTask, WithoutATransactionEachStatementStandsForItself) {
  pg::Session session = this->session();
  const auto done = run(session, "INSERT INTO note VALUES (1, weir.param('day')); VACUUM note;");
  EXPECT_EQ(done.size(), 2U);
  EXPECT_EQ(notes(), 1);
  EXPECT_EQ(session.execute("SELECT weir.param('day', 'none')")[0].get<std::string>(0), "none");
  EXPECT_EQ(session.execute("SHOW client_connection_check_interval")[0].get<std::string>(0), "0");
  EXPECT_ANY_THROW(run(session, "INSERT INTO note VALUES (2, 'kept'); SELECT 1/0;"));
  EXPECT_EQ(notes(), 2);
}

TEST_F(PipelineSqlTask, TheSessionIsAsItWasForWhoGoesOn) {
  pg::Session session = this->session();
  const std::stop_source stop;
  session.set_stop(stop.get_token());
  session.execute("CREATE ROLE weir_sql_task_test");
  const auto state = [&] {
    return session
        .execute(
            "SELECT concat_ws('|', current_user, current_setting('search_path'), "
            "current_setting('statement_timeout'))")[0]
        .get<std::string>(0);
  };
  const std::string before = state();
  pg::Transaction transaction(session);
  run(session, "SET statement_timeout = '7s'; SET search_path = public; SET ROLE weir_sql_task_test");
  EXPECT_EQ(state(), before);
  EXPECT_EQ(session.options().timeout, 60s);
  EXPECT_EQ(session.options().stop, stop.get_token());
  transaction.commit();
  EXPECT_EQ(state(), before);
  session.execute("DROP ROLE weir_sql_task_test");
}

TEST_F(PipelineSqlTask, ACallThatCommitsIsRefusedByTheServer) {
  session().execute("CREATE PROCEDURE sneak() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$");
  EXPECT_EQ(failure("INSERT INTO note VALUES (1, 'a'); CALL sneak()").sqlstate(), "2D000");
  EXPECT_EQ(failure("INSERT INTO note VALUES (1, 'a'); DO $$ BEGIN COMMIT; END $$").sqlstate(), "2D000");
  EXPECT_EQ(notes(), 0);
}

TEST_F(PipelineSqlTask, ATimeoutEndsTheStatementOnTheServer) {
  std::string said;
  // On a busy machine the first statement takes its time, too.
  for (auto span = 300ms; said.find("p/load.sql:2") == std::string::npos && span < 30s; span *= 4) {
    pg::Session session = this->session();
    const int backend = session.backend_pid();
    const pg::Transaction transaction(session);
    const Error error = test::failure_of([&] {
      run(session, "INSERT INTO note VALUES (1, 'a');\nSELECT pg_sleep(1000)",
          {.deadline = Deadline::after(span)});
    });
    said = error.what();
    EXPECT_EQ(error.failure(), Failure::connection);
    EXPECT_FALSE(session.is_open());
    test::wait_until_gone(connector(), backend);
    EXPECT_EQ(notes(), 0);
  }
  EXPECT_THAT(said, HasSubstr("p/load.sql:2"));
}

TEST_F(PipelineSqlTask, AStopEndsTheStatementOnTheServer) {
  pg::Session session = this->session();
  const int backend = session.backend_pid();
  std::stop_source stop;
  const std::jthread stopper = test::in_background([&] {
    test::wait_until_active(connector(), backend);
    stop.request_stop();
  });
  const pg::Transaction transaction(session);
  // A handler of the user's does not keep it: the cancel is no error of theirs to catch.
  const Error error = test::failure_of([&] {
    run(session, "DO $$ BEGIN LOOP PERFORM pg_sleep(1000); END LOOP; EXCEPTION WHEN others THEN NULL; END $$",
        {.stop = stop.get_token()});
  });
  EXPECT_EQ(error.failure(), Failure::stopped);
  test::wait_until_gone(connector(), backend);
}

TEST_F(PipelineSqlTask, RowsThatNobodyWantsTakeNoMemory) {
  pg::Session session = this->session();
  pg::Transaction transaction(session);
  const auto peak = [] {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return used.ru_maxrss / 1024;  // MiB
  };
  const long before = peak();
  const auto done = run(session, "SELECT i, repeat('x', 1000) FROM generate_series(1, 200000) i; TABLE note");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they have memory of their own
  EXPECT_LT(peak() - before, 50);
#endif
  ASSERT_EQ(done.size(), 2U);
  EXPECT_EQ(done[0].rows, 200'000);
  EXPECT_EQ(done[0].command, "SELECT 200000");
  EXPECT_EQ(done[1].rows, 0);
  // An error after some rows is one.
  EXPECT_THAT(
      test::failure_of([&] { run(session, "SELECT 1 / (1000 - i) FROM generate_series(1, 2000) i"); }).what(),
      HasSubstr("p/load.sql:1: division by zero"));
}

TEST_F(PipelineSqlTask, NoticesAreTold) {
  pg::Session session = this->session();
  pg::Transaction transaction(session);
  std::vector<std::string> told;
  run(session,
      "DO $$ BEGIN RAISE NOTICE '% rows', 3; RAISE WARNING 'late'; END $$; DROP TABLE IF EXISTS nothing;",
      {.notice = [&](std::string_view severity, std::string_view message) {
        told.push_back(std::string(severity) + ": " + std::string(message));
        throw std::runtime_error("must not get into libpq");
      }});
  EXPECT_THAT(told, ElementsAre("NOTICE: 3 rows", "WARNING: late",
                                "NOTICE: table \"nothing\" does not exist, skipping"));
  run(session, "DO $$ BEGIN RAISE NOTICE 'quiet'; END $$");
  EXPECT_EQ(told.size(), 3U);
}

TEST_F(PipelineSqlTask, TheServerLooksForUsWhereACancelWasLost) {
  EXPECT_EQ(value("current_setting('client_connection_check_interval')"), "2s");
}

TEST_F(PipelineSqlTask, WhatRunsHereRunsInPsql) {
  const std::string text = R"sql(
    CREATE TABLE part (id int, "a;b" text DEFAULT E'it\'s;');  -- ;
    INSERT INTO part SELECT i FROM generate_series(1, weir.param('count', '3')::int) i;
    CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql
      BEGIN ATOMIC SELECT CASE WHEN a > 0 THEN a * 2 ELSE 0 END; END;
    DO $do$ BEGIN PERFORM 1; IF true THEN PERFORM $x$;$x$; END IF; END $do$;
    /* ; /* ; */ */ CREATE RULE twofold AS ON INSERT TO note DO (SELECT 1; SELECT 2);
    SAVEPOINT a; DELETE FROM part; ROLLBACK TO SAVEPOINT a; ;
    INSERT INTO note SELECT twice(id), "a;b" FROM part;
  )sql";
  {
    pg::Session session = this->session();
    pg::Transaction transaction(session);
    EXPECT_EQ(run(session, text).size(), 9U);
    transaction.rollback();
  }
  exec::Command psql;
  psql.argv = {"psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", "-", url()};
  psql.input = text;
  const exec::Outcome outcome = exec::run_command(psql, Deadline::after(60s), {});
  EXPECT_TRUE(outcome.ok()) << outcome.err;
  EXPECT_EQ(notes(), 3);
}

}  // namespace
}  // namespace weir::pipeline
