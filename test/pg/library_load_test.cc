// The public headers for loads, as a program uses them.

#include <chrono>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include <weir/load.h>
#include <weir/tap_load.h>

#include "support/database.h"
#include "support/errors.h"

namespace weir {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using test::has;

class LibraryLoadTest : public test::SchemaTest {
 protected:
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_.path() / name) << bytes;
    return (folder_.path() / name).string();
  }
  void run(const std::string& sql) { session().execute_script(sql); }
  std::string text(const std::string& sql) {
    pg::Session session = this->session();
    return session.execute("SELECT coalesce((" + sql + ")::text, 'nothing')")[0].get<std::string>(0);
  }
  LoadResult load_now(const LoadSource& source, const LoadOptions& options) {
    return Load(url(), source, options).run();
  }
  Error refused(const LoadSource& source, const LoadOptions& options) {
    return error_of([&] { Load("postgresql://localhost/nowhere", source, options); });
  }

  test::ScratchFolder folder_{"library-load"};
};

TEST_F(LibraryLoadTest, ATableIsMadeAndThenBroughtUpToItsSource) {
  const std::string file = write("t.csv", "id,v\n1,a\n2,b\n");
  const LoadResult made = load_now({.from = {file}}, {.into = "t", .key = {"id"}});
  EXPECT_TRUE(made.created);
  EXPECT_EQ(made.inserted, 2);
  write("t.csv", "id,v,n\n1,a,\n2,c,7\n3,d,\n");
  std::vector<LoadProgress::Phase> phases;
  Load again(url(), {.from = {file}}, {.into = "t", .key = {"id"}});
  again.on_progress([&](const LoadProgress& at) {
    if (phases.empty() || phases.back() != at.phase) phases.push_back(at.phase);
  });
  const LoadResult done = again.run();
  EXPECT_GT(done.run, made.run);
  EXPECT_EQ(done.table, "t");
  EXPECT_EQ(done.records, 3);
  EXPECT_EQ(done.inserted, 1);
  EXPECT_EQ(done.updated, 1);
  EXPECT_EQ(done.unchanged, 1);
  EXPECT_EQ(done.rows_before, 2);
  EXPECT_EQ(done.strongest_lock, "ACCESS EXCLUSIVE") << "a column was added";
  EXPECT_GT(done.wal_bytes.value_or(0), 0);
  ASSERT_EQ(done.columns_added.size(), 1U);
  EXPECT_EQ(done.columns_added[0].name + " " + done.columns_added[0].type, "n bigint");
  using Phase = LoadProgress::Phase;
  EXPECT_EQ(phases, (std::vector<Phase>{Phase::sample, Phase::stage, Phase::apply, Phase::care}));
  EXPECT_EQ(text("SELECT string_agg(id || v || coalesce(n::text, ''), ' ' ORDER BY id) FROM t"), "1a 2c7 3d");
}

TEST_F(LibraryLoadTest, APlanChangesNothingAndSaysItsLocks) {
  run("CREATE TABLE t (id int PRIMARY KEY, v text)");
  const std::string file = write("t.csv", "id,v,n\n1,a,1\n");
  Load loading(url(), {.from = {file}}, {.into = "t", .mode = LoadMode::upsert, .key = {"id"}});
  const LoadPlan plan = loading.plan();
  EXPECT_EQ(plan.table, "t");
  EXPECT_EQ(plan.create_sql, "");
  EXPECT_EQ(plan.sampled, 1U);
  EXPECT_TRUE(plan.refusals.empty());
  EXPECT_EQ(plan.strongest_lock, "ACCESS EXCLUSIVE");
  ASSERT_FALSE(plan.steps.empty());
  EXPECT_TRUE(has(plan.steps.front().sql, "ADD COLUMN")) << plan.steps.front().sql;
  EXPECT_EQ(text("SELECT count(*) FROM t"), "0");
  EXPECT_EQ(text("SELECT count(*) FROM weir.load_run"), "0");
  run("DROP TABLE t; CREATE TABLE t (id int, v text, n int)");
  const LoadPlan bad = loading.plan();
  ASSERT_FALSE(bad.refusals.empty());
  EXPECT_EQ(error_of([&] { loading.run(); }).what(), bad.refusals[0].reason);
}

TEST_F(LibraryLoadTest, RejectsAreCountedAndNoMoreThanMayBe) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  const std::string file = write("t.csv", "id,v\n1,1\n2,two\n3,3\n");
  LoadOptions options{.into = "t", .mode = LoadMode::upsert, .key = {"id"}};
  options.contract = LoadContract::quarantine;
  const Error error = error_of([&] { load_now({.from = {file}}, options); });
  EXPECT_EQ(error.failure(), Failure::refused);
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_EQ(text("SELECT count(*) FROM t"), "0");
  options.max_reject_share = 0.5;
  const LoadResult done = load_now({.from = {file}}, options);
  EXPECT_EQ(done.rejected, 1);
  EXPECT_EQ(done.inserted, 2);
  EXPECT_EQ(text("SELECT string_agg(line::text, ' ') FROM weir.load_reject WHERE run = " +
                 std::to_string(done.run)),
            "3");
}

TEST_F(LibraryLoadTest, SourcesOfEachKind) {
  run("CREATE TABLE t (id int PRIMARY KEY, v text)");
  const LoadOptions options{.into = "t", .mode = LoadMode::upsert, .key = {"id"}};
  EXPECT_EQ(load_now({.from = {write("a.ndjson", "{\"id\": 1, \"v\": \"json\"}\n")}}, options).inserted, 1);
  write("c.csv", "id;v\n2;command\n");
  EXPECT_EQ(load_now({.command = {"sh", "-c", "cat c.csv; echo \"3;$WORD\""},
                      .command_folder = folder_.path().string(),
                      .command_env = {{"WORD", "environment"}},
                      .format = LoadSource::Format::csv,
                      .csv = {.delimiter = ';', .header = true}},
                     options)
                .inserted,
            2);
  EXPECT_EQ(load_now({.from = {url()}, .query = "SELECT 4 AS id, 'query' AS v"}, options).inserted, 1);
  EXPECT_EQ(text("SELECT string_agg(v, ' ' ORDER BY id) FROM t"), "json command environment query");
  EXPECT_TRUE(has(error_of([&] {
                    load_now({.command = {"sh", "-c", "echo id; exit 3"}}, options);
                  }).what(),
                  "failed with exit status 3"));
}

TEST_F(LibraryLoadTest, StateIsCommittedWithTheRows) {
  const std::string file = write("t.csv", "day,v\n2026-01-01,1\n");
  LoadOptions options{.into = "t", .mode = LoadMode::window};
  options.window = LoadWindow{"day", "2026-01-01", "2026-01-02"};
  options.columns.push_back({"v", "numeric(5,1)"});
  options.pipeline = "p";
  options.stream = "s";
  options.state = R"({"until": "2026-01-02"})";
  EXPECT_EQ(load_now({.from = {file}}, options).inserted, 1);
  EXPECT_EQ(text("SELECT state->>'until' FROM weir.load_state WHERE pipeline = 'p' AND stream = 's'"),
            "2026-01-02");
  EXPECT_EQ(text("SELECT v FROM t"), "1.0");
}

TEST_F(LibraryLoadTest, WhatCannotBeMeantIsToldBeforeAnythingIsOpened) {
  const LoadSource file{.from = {"t.csv"}};
  struct Mistake {
    LoadSource source;
    LoadOptions options;
    std::string message;
  };
  for (const Mistake& mistake : std::vector<Mistake>{
           {file, {}, "the name of a table"},
           {file, {.into = "a.b.c.d"}, "a.b.c.d"},
           {{}, {.into = "t"}, "what is to be loaded?"},
           {{.from = {"a.csv", "-"}}, {.into = "t"}, "standard input is loaded alone"},
           {{.from = {"a.csv"}, .query = "SELECT 1"}, {.into = "t"}, "--query is for a source"},
           {{.from = {"a.ndjson"}, .csv = {.trim = true}}, {.into = "t"}, "--trim is about separated values"},
           {{.from = {"a.csv"}, .max_record = 0}, {.into = "t"}, "the limit of a record"},
           {file, {.into = "t", .mode = LoadMode::upsert}, "mode upsert needs --key"},
           {file, {.into = "t", .mode = LoadMode::window}, "mode window needs --window"},
           {file,
            {.into = "t", .mode = LoadMode::window, .window = LoadWindow{"day", "2", "1"}},
            "nothing is from its first bound"},
           {file, {.into = "t", .partition = "p"}, "--partition has no meaning with mode refresh"},
           {file, {.into = "t", .mode = LoadMode::swap, .max_rejects = 1}, "--max-rejects has no meaning"},
           {file, {.into = "t", .max_rejects = -1}, "--max-rejects is neither"},
           {file, {.into = "t", .max_reject_share = 1.5}, "--max-rejects is neither"},
           {file, {.into = "t", .max_delete_share = 20}, "not a share from 0 to 1"},
           {file, {.into = "t", .key = {"a", "a"}}, "--key names a twice"},
           {file, {.into = "t", .sample = 0}, "at least one record"},
           {file, {.into = "t", .wait = -1s}, "--wait is less than nothing"},
           {file, {.into = "t", .lock_timeout = 0ms}, "--lock-timeout is less than 1 ms"},
           {file, {.into = "t", .lock_timeout = -1s}, "--lock-timeout is less than 1 ms"},
           {file, {.into = "t", .statement_timeout = -1s}, "--timeout is less than nothing"},
           {{.from = {"a.ndjson"}, .flatten = 33}, {.into = "t"}, "--flatten is 33"},
           {file, {.into = "t", .state = "{}"}, "--state needs --pipeline"},
           {file, {.into = "t", .pipeline = "p", .state = "{"}, "--state is no JSON"},
       }) {
    const Error error = refused(mistake.source, mistake.options);
    EXPECT_EQ(error.failure(), Failure::usage) << mistake.message;
    EXPECT_TRUE(has(error.what(), mistake.message)) << error.what();
  }
  EXPECT_EQ(error_of([] {
              TapLoad("postgresql://localhost/nowhere", {.command = {"tap"}},
                      {.loads = {.into = "t", .key = {"id"}}}, {});
            }).failure(),
            Failure::usage);
  const Error endless = error_of([] {
    TapLoad("postgresql://localhost/nowhere", {.command = {"tap"}},
            {.loads = {.into = "t", .lock_timeout = 0ms}}, {});
  });
  EXPECT_TRUE(has(endless.what(), "--lock-timeout is less than 1 ms")) << endless.what();
}

TEST_F(LibraryLoadTest, AStopEndsALoadAndLeavesNothing) {
  std::stop_source stop;
  Load loading(url(), {.command = {"sh", "-c", "echo id; echo 1; exec sleep 1000"}}, {.into = "t"});
  const std::jthread stopper([&] { stop.request_stop(); });
  const Error error = error_of([&] { loading.run(stop.get_token()); });
  EXPECT_EQ(error.failure(), Failure::stopped) << error.what();
  EXPECT_EQ(error.exit_code(), ExitCode::interrupted);
  EXPECT_EQ(text("SELECT to_regclass('t')"), "nothing");
}

TEST_F(LibraryLoadTest, ATapIsLoadedAndItsStateIsTold) {
  const std::string tap =
      R"(echo '{"type":"SCHEMA","stream":"items","key_properties":["id"],"schema":{"type":"object",)"
      R"("properties":{"id":{"type":"integer"},"name":{"type":["string","null"]}}}}';)"
      R"(echo '{"type":"RECORD","stream":"items","record":{"id":1,"name":"one"}}';)"
      R"(echo '{"type":"RECORD","stream":"items","record":{"id":2,"name":null}}';)"
      R"(echo '{"type":"STATE","value":{"at":7}}')";
  std::vector<std::string> states;
  std::string applied;
  TapLoad loading(url(), {.command = {"sh", "-c", tap}}, {.loads = {.into = "public.*", .pipeline = "shop"}},
                  {.state = [&](const std::string& state) { states.push_back(state); },
                   .applied =
                       [&](const LoadResult& result, const std::string& stream) {
                         applied += stream + " " + std::to_string(result.inserted);
                       }});
  loading.run();
  EXPECT_EQ(applied, "items 2");
  ASSERT_EQ(states.size(), 1U);
  EXPECT_TRUE(has(states[0], "\"at\":7")) << states[0];
  EXPECT_EQ(text("SELECT string_agg(id || coalesce(name, '-'), ' ' ORDER BY id) FROM items"), "1one 2-");
  EXPECT_EQ(text("SELECT state->>'tap_state' IS NOT NULL FROM weir.load_state WHERE pipeline = 'shop'"),
            "true");
}

}  // namespace
}  // namespace weir
