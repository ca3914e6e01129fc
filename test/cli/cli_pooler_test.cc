// The commands that work, each as often as it takes to meet a server process that another one has used,
// through pgbouncer in transaction mode.

#include <filesystem>
#include <fstream>
#include <optional>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "support/database.h"
#include "support/pgbouncer.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

class CliPooler : public SchemaTest {
 protected:
  void TearDown() override {
    bouncer_.reset();  // with the sessions that it keeps
    SchemaTest::TearDown();
  }
  [[nodiscard]] WeirResult run(const Words& words) const {
    return run_weir(words, {.env = {{"DATABASE_URL", bouncer_->conninfo(database()).url()}},
                            .folder = folder_.path(),
                            .input = {}});
  }
  void expect_good(const Words& words) const {
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 0) << words.front() << ": " << result.err << result.out;
  }
  void put(const std::filesystem::path& file, const std::string& text) const {
    std::filesystem::create_directories((folder_.path() / file).parent_path());
    std::ofstream(folder_.path() / file) << text;
  }
  void execute(const std::string& sql) const { session().execute(sql); }
  [[nodiscard]] std::int64_t number(const std::string& sql) const {
    return session().execute(sql)[0].get<std::int64_t>(0);
  }

  /// What is set for a session, or made for it, would be somebody else's next.
  void expect_nothing_left() const {
    const pg::Connector others = pg::Connector(bouncer_->conninfo(database())).unprepared();
    std::vector<pg::Session> sessions;
    for (int i = 0; i < 5; ++i) {
      sessions.push_back(others.connect(pg::Role::api, "test"));
      sessions.back().execute("BEGIN");
      const pg::Result left = sessions.back().execute(
          "SELECT (SELECT setting = reset_val FROM pg_settings WHERE name = "
          "'client_connection_check_interval'), "
          "(SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)), "
          "(SELECT count(*) FROM pg_prepared_statements)");
      EXPECT_TRUE(left[0].get<bool>(0));
      EXPECT_EQ(left[0].get<std::int64_t>(1), 0);
      EXPECT_EQ(left[0].get<std::int64_t>(2), 0);
    }
  }

  static constexpr int kRounds = 3;
  std::optional<PgBouncer> bouncer_{std::in_place, PgBouncer::Mode::transaction};
  ScratchFolder folder_{"pooler"};
};

TEST_F(CliPooler, JobsAreWorkedOn) {
  execute("CREATE TABLE public.effect (id bigint)");
  for (int round = 1; round <= kRounds; ++round) {
    expect_good({"job", "enqueue", "q"});
    expect_good(
        {"worker", "--queue", "q", "--once", "--sql", "INSERT INTO public.effect SELECT id FROM weir_job"});
    EXPECT_EQ(number("SELECT count(*) FROM public.effect"), round);
    expect_good({"job", "enqueue", "q"});
    expect_good({"worker", "--queue", "q", "--once", "--", "sh", "-c",
                 R"(while read -r line; do case $line in '{"end":'*) echo '{"ack":"all"}' ;; esac; done)"});
    EXPECT_EQ(number("SELECT count(*) FROM weir.job"), 0);
  }
  expect_nothing_left();
}

TEST_F(CliPooler, ATableIsConsumed) {
  execute(
      "CREATE TABLE public.events (id bigint PRIMARY KEY, at timestamptz DEFAULT now(), done bool DEFAULT "
      "false)");
  execute("CREATE TABLE public.effect (id bigint)");
  execute("CREATE INDEX ON public.events (at) WHERE NOT done");
  for (int round = 1; round <= kRounds; ++round) {
    execute("INSERT INTO public.events (id) VALUES (" + std::to_string(round) + ")");
    expect_good({"consume", "public.events", "--order-by", "at", "--done", "done", "--once", "--workers", "2",
                 "--sql", "INSERT INTO public.effect SELECT (payload->>'id')::bigint FROM weir_batch"});
    EXPECT_EQ(number("SELECT count(*) FROM public.effect"), round);
  }
  expect_nothing_left();
}

TEST_F(CliPooler, AStreamIsConsumed) {
  execute("CREATE TABLE public.effect (id bigint)");
  expect_good({"stream", "create", "events"});
  for (int round = 1; round <= kRounds; ++round) {
    execute("INSERT INTO public.events (payload) VALUES ('{}')");
    expect_good({"stream", "consume", "events", "--group", "g", "--from", "beginning", "--once", "--sql",
                 "INSERT INTO public.effect SELECT event_id FROM weir_chunk"});
    EXPECT_EQ(number("SELECT count(*) FROM public.effect"), round);
  }
  expect_nothing_left();
}

TEST_F(CliPooler, BatchesAreConsumed) {
  execute("CREATE TABLE public.effect (idx int)");
  expect_good({"feed", "sink", "default", "silver"});
  for (int round = 1; round <= kRounds; ++round) {
    execute("SELECT weir.submit_batch('t', 'k', '{}')");
    expect_good({"group", "consume", "--sink", "silver", "--once", "--sql",
                 "INSERT INTO public.effect SELECT idx FROM weir_batch"});
    EXPECT_EQ(number("SELECT count(*) FROM public.effect"), round);
  }
  expect_nothing_left();
}

TEST_F(CliPooler, PipelinesAreWorkedOn) {
  execute("CREATE TABLE public.effect (run bigint)");
  put("weir.yml", "name: demo\n");
  put("pipelines/p/pipeline.yml",
      "alerts: [{when: success, run: [sh, -c, 'cat > /dev/null; echo told >> told']}]\n"
      "tasks:\n"
      "  a: {sql: insert into public.effect values (weir.run_id())}\n"
      "  b: {after: a, shell: echo hello}\n"
      "  c: {after: b, map: {sql: 'select generate_series(1, 2) as n'}, run: [echo, '${item.n}']}\n"
      "  d: {after: c, wait: {sql: select true}}\n");
  put("pipelines/p/models/seen.sql",
      "/* weir\nmaterialized: view\nafter: d\nchecks:\n  - sql: select id = 7 from this()\n*/\nselect 7 as "
      "id");
  for (int round = 1; round <= kRounds; ++round) {
    expect_good({"deploy"});
    expect_good({"run", "p"});
    expect_good({"worker", "--once"});
    EXPECT_EQ(number("SELECT count(*) FROM public.effect"), round);
    EXPECT_EQ(number("SELECT count(*) FROM weir.run_done WHERE state = 'success'"), round);
    EXPECT_EQ(number("SELECT id::int8 FROM public.seen"), 7);
    const std::string last = std::to_string(number("SELECT max(id) FROM weir.run_done"));
    const WeirResult log = run({"logs", last + "/b"});
    EXPECT_THAT(log.out, HasSubstr("hello")) << log.err;
    for (const Words& words :
         {Words{"runs"}, Words{"runs", last}, Words{"explain", last + "/b"}, Words{"alerts"}})
      expect_good(words);
    std::ifstream told(folder_.path() / "pipelines/p/told");
    int lines = 0;
    for (std::string line; std::getline(told, line);) ++lines;
    EXPECT_EQ(lines, round);
  }
  expect_nothing_left();
}

TEST_F(CliPooler, WhatNeedsASessionOfItsOwnIsRefusedBeforeAnythingIsDone) {
  put("a.csv", "id\n1\n");
  for (const Words& words : {Words{"load", "a.csv", "--into", "loaded"},
                             Words{"load", "a.csv", "--into", "loaded", "--mode", "append"},
                             Words{"load", "--singer", "--into", "*"}}) {
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 5) << result.err;
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("needs a session of its own"), HasSubstr("Connect to the server itself")));
  }
  put("weir.yml", "name: demo\n");
  put("pipelines/p/pipeline.yml",
      "tasks:\n"
      "  loads: {load: {command: [sh, -c, 'echo id; echo 1'], into: loaded}}\n"
      "  alone: {sql: select weir.run_id(), transaction: false}\n");
  put("pipelines/p/models/loaded_too.sql", "select 1 as id");
  expect_good({"deploy"});
  expect_good({"run", "p"});
  EXPECT_EQ(run({"worker", "--once"}).status, 1);
  EXPECT_EQ(
      number(
          "SELECT count(*) FROM weir.task_attempt WHERE error LIKE '%needs a session of its own%(Connect to "
          "the server itself%'"),
      3);
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_run"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM pg_class WHERE relname LIKE 'loaded%'"), 0);
  expect_nothing_left();
}

class CliConnections : public SchemaTest {};

TEST_F(CliConnections, WhatTheServerCouldNeverGrantIsRefusedWithTheArithmetic) {
  const ScratchFolder folder("budget");
  session().execute("CREATE TABLE public.events (id bigint PRIMARY KEY, done bool)");
  const auto run = [&](const Words& words) {
    return run_weir(words, {.env = {{"DATABASE_URL", url()}}, .folder = folder.path(), .input = {}});
  };
  const auto expect_refused = [&](const Words& words, const std::string& arithmetic) {
    const WeirResult result = run(words);
    EXPECT_EQ(result.status, 5) << words.front() << result.err;
    EXPECT_THAT(result.err, HasSubstr("the connection budget does not fit: " + arithmetic)) << words.front();
  };
  expect_refused({"worker", "--queue", "q", "--slots", "1000", "--once", "--sql", "SELECT FROM weir_job"},
                 "poll 2 + recovery 2 + listen 1 + task 1000 ");

  // A consumer of a table opens a session for each of its workers, and one that is woken by the trigger.
  const auto consume = [](const char* workers, const char* how) {
    return Words{
        "consume", "public.events",         "--order-by", "id", "--done", "done", "--workers", workers, how,
        "--sql",   "SELECT FROM weir_batch"};
  };
  expect_refused(consume("256", "--once"), "task 256 = ");
  session().execute("ALTER DATABASE " + database() + " CONNECTION LIMIT 4");  // superusers may pass it
  const WeirResult fits = run(consume("4", "--once"));
  EXPECT_EQ(fits.status, 0) << fits.err;
  expect_refused(consume("4", "--install-trigger"), "listen 1 + task 4 = 5 ");
}

TEST_F(CliConnections, AConsumerOfAStreamCountsWhoCutsIt) {
  const ScratchFolder folder("budget");
  const auto run = [&](const Words& words) {
    return run_weir(words, {.env = {{"DATABASE_URL", url()}}, .folder = folder.path(), .input = {}});
  };
  ASSERT_EQ(run({"stream", "create", "events"}).status, 0);
  const auto consume = [&](const Words& more) {
    Words words{"stream", "consume", "events", "--group", "g", "--once", "--workers"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  const WeirResult refused = consume({"256", "--sql", "SELECT FROM weir_chunk"});
  EXPECT_EQ(refused.status, 5) << refused.err;
  EXPECT_THAT(refused.err,
              HasSubstr("the connection budget does not fit: poll 3 + recovery 2 + listen 1 + task 256 = 262 "
                        "sessions x 1 process = 262, but the server leaves 97 (max_connections 100 - "
                        "reserved 3 = 97)"));
  EXPECT_EQ(session().execute("SELECT count(*) FROM weir.stream_group")[0].get<std::int64_t>(0), 0);

  // A command gets no session, however many there are of it.
  session().execute("ALTER DATABASE " + database() + " CONNECTION LIMIT 6");
  const WeirResult command = consume({"8", "--", "cat"});
  EXPECT_EQ(command.status, 0) << command.err;
  const WeirResult one_more = consume({"1", "--sql", "SELECT FROM weir_chunk"});
  EXPECT_EQ(one_more.status, 5) << one_more.err;
  EXPECT_THAT(one_more.err, HasSubstr("task 1 = 7 sessions x 1 process = 7, but the server leaves 6 ("));
  EXPECT_THAT(one_more.err, HasSubstr("the database's own limit is 6)"));
}

TEST_F(CliConnections, AConsumerOfGroupsCountsAConnectionForEach) {
  const ScratchFolder folder("budget");
  const auto run = [&](const Words& words) {
    return run_weir(words, {.env = {{"DATABASE_URL", url()}}, .folder = folder.path(), .input = {}});
  };
  ASSERT_EQ(run({"feed", "sink", "default", "silver"}).status, 0);
  const auto consume = [&](const char* concurrency) {
    return run({"group", "consume", "--sink", "silver", "--once", "--concurrency", concurrency, "--sql",
                "SELECT FROM weir_batch"});
  };
  const WeirResult refused = consume("1000");
  EXPECT_EQ(refused.status, 5) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("the connection budget does not fit: poll 1 + recovery 1 + group 1000 = "
                                     "1002 sessions x 1 process = 1002, but the server leaves 97 "
                                     "(max_connections 100 - reserved 3 = 97)"));
  session().execute("ALTER DATABASE " + database() + " CONNECTION LIMIT 6");
  EXPECT_EQ(consume("4").status, 0);
  const WeirResult one_more = consume("5");
  EXPECT_EQ(one_more.status, 5) << one_more.err;
  EXPECT_THAT(one_more.err, HasSubstr("group 5 = 7 sessions x 1 process = 7, but the server leaves 6 ("));
}

}  // namespace
}  // namespace weir::test
