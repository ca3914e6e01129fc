// What load tasks and models do, as a project has them: with its files, its variables, and the program's own
// words.
#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <sqlite3.h>

#include "cli_pipeline_fixture.h"
#include "pg/identifier.h"
#include "pg/transaction.h"
#include "support/http_server.h"
#include "support/server.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CliPipelineTasks : public CliPipelines {
 protected:
  /// Deploys, runs once, works until nothing is left; the state of the run.
  std::string run_once(const std::string& text = "tasks: {}\n") {
    deploy(text);
    run_ = make_run();
    static_cast<void>(work());
    return document({"runs", run_}).at("state").get<std::string>();
  }
  [[nodiscard]] std::string error_of(std::size_t task = 0) const {
    return document({"runs", run_}).at("tasks").at(task).value("error", "");
  }
  [[nodiscard]] std::string log() const { return weir({"logs", run_}).out; }
  void model(const std::string& name, const std::string& text) const {
    put("pipelines/shop/models/" + name + ".sql", text);
  }

  std::string run_;
};

TEST_F(CliPipelineTasks, ALoadThatTakesTooLongIsStoppedAndTriedAgain) {
  EXPECT_EQ(run_once("tasks:\n"
                     "  a:\n"
                     "    timeout: 300ms\n"
                     "    retry: {attempts: 2, delay: 1ms}\n"
                     "    load: {command: [sh, -c, 'echo id; echo 1; exec sleep 20'], into: late}\n"),
            "failed");
  EXPECT_EQ(error_of(), "it took longer than its timeout of 300 ms");
  EXPECT_EQ(value("SELECT to_regclass('late')"), "null");
  EXPECT_EQ(value("SELECT string_agg(outcome, ',') FROM weir.task_attempt"), "failed,failed");
}

TEST_F(CliPipelineTasks, AModelThatTakesTooLongIsStopped) {
  model("late", "/* weir\ntimeout: 300ms\n*/\nselect 1 as id from pg_sleep(20)");
  EXPECT_EQ(run_once(), "failed");
  EXPECT_EQ(error_of(), "it took longer than its timeout of 300 ms");
  EXPECT_EQ(value("SELECT to_regclass('late')"), "null");
  // Also where it is written: then its rows are undone.
  model("late", "/* weir\ntimeout: 2s\nchecks:\n  - sql: select true from pg_sleep(20)\n*/\nselect 1 as id");
  EXPECT_EQ(run_once(), "failed");
  EXPECT_EQ(error_of(), "it took longer than its timeout of 2.0 s");
  EXPECT_EQ(value("SELECT to_regclass('late')"), "null");
}

TEST_F(CliPipelineTasks, WhoComesNextDoesNotWaitForTheCareOfATable) {
  session().execute("CREATE TABLE cared AS SELECT n AS id, 0 AS v FROM generate_series(1, 2000) n");
  session().execute("ALTER TABLE cared ADD PRIMARY KEY (id)");
  session().execute("CREATE TABLE seen (care_goes_on bool)");
  model("cared", "/* weir\nkey: id\n*/\nselect n as id, 1 as v from generate_series(1, 2000) n");
  deploy(
      "tasks:\n"
      "  next:\n"
      "    after: cared\n"
      "    sql: |\n"
      "      do $$ begin\n"
      "        for look in 1 .. 2000 loop\n"
      "          if exists (select from pg_locks where relation = 'cared'::regclass\n"
      "                     and mode = 'ShareUpdateExclusiveLock' and not granted) then\n"
      "            insert into seen values (true);\n"
      "            return;\n"
      "          end if;\n"
      "          perform pg_sleep(0.005);\n"
      "        end loop;\n"
      "      end $$\n");
  // VACUUM waits for it, for as long as it does for anybody; writers do not.
  pg::Session other = session();
  pg::Transaction holder(other);
  other.execute("LOCK TABLE cared IN SHARE UPDATE EXCLUSIVE MODE");
  run_ = make_run();
  EXPECT_EQ(work(), 0) << error_of();
  EXPECT_EQ(value("SELECT care_goes_on FROM seen"), "true");
  EXPECT_THAT(log(), HasSubstr("not vacuumed: "));
}

TEST_F(CliPipelineTasks, AViewWhoseCheckFailsIsNotSeen) {
  model("seen",
        "/* weir\nmaterialized: view\nchecks:\n  - sql: select count(*) = 1 from this()\n*/\nselect 1 as id");
  EXPECT_EQ(run_once(), "success") << error_of();
  model("seen",
        "/* weir\nmaterialized: view\nchecks:\n  - {sql: select false, blocking: false, name: soft}\n"
        "  - sql: select count(*) = 1 from this()\n*/\nselect 2 as id union all select 3");
  EXPECT_EQ(run_once(), "failed");
  EXPECT_THAT(error_of(), HasSubstr("public.seen: check check 2 does not hold"));
  EXPECT_THAT(log(), HasSubstr("check soft does not hold (not blocking)"));
  EXPECT_EQ(value("SELECT string_agg(id::text, ',') FROM seen"), "1");
}

TEST_F(CliPipelineTasks, AViewLosesAColumnAndKeepsItsRights) {
  session().execute_script("CREATE ROLE view_reader; CREATE ROLE view_column_reader");
  model("wide", "/* weir\nmaterialized: view\n*/\nselect 1 as id, 'x' as word, 2 as more");
  EXPECT_EQ(run_once(), "success") << error_of();
  session().execute_script(
      "GRANT SELECT ON wide TO view_reader WITH GRANT OPTION; GRANT SELECT (word) ON wide TO "
      "view_column_reader; "
      "COMMENT ON VIEW wide IS 'it''s for all'; COMMENT ON COLUMN wide.word IS 'a word'");
  model("wide", "/* weir\nmaterialized: view\n*/\nselect 'x' as word, 1 as id");
  EXPECT_EQ(run_once(), "success") << error_of();
  EXPECT_THAT(log(), HasSubstr("the view is made anew"));
  EXPECT_EQ(value("SELECT word || id FROM wide"), "x1");
  EXPECT_EQ(value("SELECT has_table_privilege('view_reader', 'wide', 'SELECT WITH GRANT OPTION') AND "
                  "has_column_privilege('view_column_reader', 'wide', 'word', 'SELECT') AND NOT "
                  "has_column_privilege('view_column_reader', 'wide', 'id', 'SELECT')"),
            "true");
  EXPECT_EQ(value("SELECT obj_description('wide'::regclass) || ', ' || col_description('wide'::regclass, 1)"),
            "it's for all, a word");
  // What depends on it is not dropped with it.
  session().execute("CREATE VIEW above AS SELECT id FROM wide");
  model("wide", "/* weir\nmaterialized: view\n*/\nselect 'x' as word");
  EXPECT_EQ(run_once(), "failed");
  EXPECT_THAT(error_of(), AllOf(HasSubstr("view above depends on"), HasSubstr("Drop it")));
  EXPECT_EQ(value("SELECT id FROM above"), "1");
  session().execute_script("DROP VIEW above, wide; DROP ROLE view_reader; DROP ROLE view_column_reader");
}

TEST_F(CliPipelineTasks, AKeyThatComesTwiceFailsItsModel) {
  for (const char* const kind : {"table", "table\nstrategy: swap", "incremental\nstrategy: upsert"}) {
    model("keyed", std::string("/* weir\nmaterialized: ") + kind +
                       "\nkey: id\n*/\nselect * from (values (1, 'a'), (2, 'b')) v(id, word)");
    EXPECT_EQ(run_once(), "success") << kind << error_of();
    model("keyed", std::string("/* weir\nmaterialized: ") + kind +
                       "\nkey: id\nchecks:\n  - unique: id\n*/\nselect * from (values (1, 'c'), (1, 'd'), "
                       "(2, 'b')) v(id, word)");
    EXPECT_EQ(run_once(), "failed") << kind;
    EXPECT_THAT(error_of(), AllOf(HasSubstr("its key comes again in a later record"), HasSubstr("column id"),
                                  HasSubstr("one row for each key"), Not(HasSubstr("--max-rejects"))))
        << kind;
    EXPECT_EQ(value("SELECT string_agg(word, '' ORDER BY id) FROM keyed"), "ab") << kind;
  }
}

TEST_F(CliPipelineTasks, ALoadSaysWhatBecameOfItsRecords) {
  put("pipelines/shop/a.csv",
      "id,at,amount\n1,2026-01-01 00:00:00.1234567,1\n2,2026-01-01 00:00:00,2\n2,2026-01-01 "
      "00:00:00,3\n3,no,4\n");
  session().execute("CREATE TABLE told (id int PRIMARY KEY, at timestamp, amount int)");
  session().execute("INSERT INTO told SELECT n, NULL, n FROM generate_series(3, 6) n");
  EXPECT_EQ(
      run_once(
          "tasks:\n"
          "  a: {load: {source: a.csv, into: told, key: id, max_rejects: 2, allow_mass_delete: true}}\n"),
      "success")
      << error_of();
  EXPECT_THAT(
      log(),
      AllOf(HasSubstr("told: 4 records read; 2 inserted, 0 updated, 3 deleted, 0 unchanged, 1 rejected"),
            HasSubstr("1 record was followed by a later one with the same key, which counts"),
            HasSubstr("1 row was kept that a rejected record may be"),
            HasSubstr("notice: at: 1 value rounded"),
            HasSubstr("what was rejected: weir load rejects " + value("SELECT max(id) FROM weir.load_run"))))
      << log();
}

TEST_F(CliPipelineTasks, ASecretInASourceIsUsedAndNeverTold) {
  session().execute("CREATE TABLE rates AS SELECT 7 AS id");
  put("pipelines/shop/url", url() + "\n");
  const auto done = run_once(
      "tasks:\n"
      "  a: {load: {source: '${env:DATABASE_URL}', table: rates, into: one}}\n"
      "  b: {load: {source: '${file:pipelines/shop/url}', query: select 8 as id, into: two}}\n");
  EXPECT_EQ(done, "success") << error_of(0) << error_of(1);
  EXPECT_EQ(value("SELECT (SELECT id FROM one) || ',' || (SELECT id FROM two)"), "7,8");
  EXPECT_EQ(value("SELECT string_agg(source, ' ' ORDER BY target) FROM weir.load_run"),
            "${env:DATABASE_URL} rates ${file:pipelines/shop/url} (query)");
  EXPECT_EQ(value("SELECT count(*) FROM weir.load_run r WHERE strpos(r::text, " + pg::quote_literal(url()) +
                  ") > 0"),
            "0");
  EXPECT_THAT(log(), Not(HasSubstr(url())));
}

TEST_F(CliPipelineTasks, AParameterMayNameAConnection) {
  session().execute("CREATE TABLE rates AS SELECT 7 AS id");
  put("weir.yml", "name: demo\nconnections: {shop: '${env:DATABASE_URL}'}\n");
  EXPECT_EQ(run_once("parameters: {which: shop}\n"
                     "tasks: {a: {load: {source: '${param:which}', table: rates, into: one}}}\n"),
            "success")
      << error_of();
  EXPECT_EQ(value("SELECT id FROM one"), "7");
  EXPECT_EQ(value("SELECT source FROM weir.load_run"), "shop rates");
}

TEST_F(CliPipelineTasks, ASecretInASourceThatCannotBeOpenedIsNotTold) {
  WeirSetup with = setup();
  with.env["SHH"] = "postgresql://somebody:sesame@127.0.0.1:1/nowhere";
  with.env["PLACE"] = "/sesame";
  deploy(
      "tasks:\n"
      "  a: {load: {source: '${env:SHH}', table: rates, into: one}}\n"
      "  b: {load: {source: '${env:PLACE}', table: t, into: two}}\n");
  run_ = make_run();
  EXPECT_EQ(run_weir({"worker", "--once"}, with).status, 1);
  EXPECT_THAT(weir({"runs", run_, "--json"}).out + log() +
                  value("SELECT string_agg(r::text, ' ') FROM weir.load_run r"),
              Not(HasSubstr("sesame")));
  EXPECT_THAT(error_of(1), HasSubstr("has to be the URL of a database"));
}

TEST_F(CliPipelineTasks, WhatTheHistoryOfLoadsHasOfAnErrorIsWithoutSecrets) {
  session().execute("CREATE TABLE rates AS SELECT 'x'::text AS word");
  session().execute("CREATE TABLE one (word text CHECK (word <> 'x'))");
  WeirSetup with = setup();
  with.env["SHH"] = "one_word_check";
  const std::string more = url().find('?') == std::string::npos ? "?" : "&";
  deploy("tasks: {a: {load: {source: '" + url() + more +
         "application_name=${env:SHH}', table: rates, into: one}}}\n");
  run_ = make_run();
  EXPECT_EQ(run_weir({"worker", "--once"}, with).status, 1);
  EXPECT_THAT(value("SELECT error FROM weir.load_run"),
              AllOf(HasSubstr("${env:SHH}"), Not(HasSubstr("one_word_check"))));
}

TEST_F(CliPipelineTasks, ASecretInAnAddressIsUsed) {
  HttpServer server;
  WeirSetup with = setup();
  with.env["TOKEN"] = "sesame";
  deploy("tasks: {a: {wait: {http: '" + server.url("/there") + "?token=${env:TOKEN}', every: 10ms}}}\n");
  run_ = make_run();
  EXPECT_EQ(run_weir({"worker", "--once"}, with).status, 0) << error_of();
  EXPECT_EQ(server.wait_for(1).at(0).path, "/there?token=sesame");
  EXPECT_THAT(log(), Not(HasSubstr("sesame")));
}

TEST_F(CliPipelineTasks, WhatStandsForNullIsTaken) {
  put("pipelines/shop/a.csv", "id,word\n1,NA\n2,-\n3,x\n");
  EXPECT_EQ(run_once("tasks:\n"
                     "  a: {load: {source: a.csv, into: several, null: [NA, '-']}}\n"
                     "  b: {load: {source: a.csv, into: single, null: NA}}\n"),
            "success")
      << error_of();
  EXPECT_EQ(value("SELECT string_agg(coalesce(word, '?'), '' ORDER BY id) FROM several"), "??x");
  EXPECT_EQ(value("SELECT string_agg(coalesce(word, '?'), '' ORDER BY id) FROM single"), "?-x");
}

TEST_F(CliPipelineTasks, AFileIsBesideItsPipelineWhateverItIsCalled) {
  put("pipelines/shop/x:y.csv", "id\n1\n");
  put("pipelines/shop/in/2026-01-05T00:00:00Z.csv", "id\n2\n");
  put("pipelines/shop/postgres.csv", "id\n3\n");
  deploy(
      "tasks:\n"
      "  a: {load: {source: 'x:y.csv', into: a}}\n"
      "  b: {load: {source: 'in/${logical_time}.csv', into: b}}\n"
      "  c: {load: {source: 'postgres.csv', into: c}}\n"
      "  d: {load: {source: 'sqlite:app.db?table=t', into: d}}\n"
      "  e: {load: {source: 'sqlite:///" +
      (folder_.path() / "pipelines/shop/app.db").string() + "', table: t, into: e}}\n");
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((folder_.path() / "pipelines/shop/app.db").c_str(), &database), SQLITE_OK);
  sqlite3_exec(database, "CREATE TABLE t AS SELECT 4 AS id", nullptr, nullptr, nullptr);
  sqlite3_close(database);
  run_ = make_run({"--at", "2026-01-05"});
  WeirSetup elsewhere = setup();
  elsewhere.folder = "/";
  EXPECT_EQ(run_weir({"worker", "--once", "-C", folder_.path().string()}, elsewhere).status, 0) << log();
  EXPECT_EQ(value("SELECT concat((SELECT id FROM a), (SELECT id FROM b), (SELECT id FROM c), (SELECT id FROM "
                  "d), (SELECT id FROM e))"),
            "12344");
}

}  // namespace
}  // namespace weir::test
