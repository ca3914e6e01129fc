// weir stream, as a user has it: made, filled, looked at, consumed with SQL and with a command.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli_stream_fixture.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;
using nlohmann::json;

/// Fails on the event {"n": 7}.
const std::string kPicky =
    "INSERT INTO effect SELECT event_id FROM weir_chunk WHERE 1 / ((payload->>'n')::int - 7) < 2";

TEST_F(CliStream, FromNothingToConsumedExactlyOnce) {
  EXPECT_THAT(run({"list"}).err, HasSubstr("there are no streams yet: weir stream create NAME"));
  make({"--retain", "30d", "--retain-size", "1.5GB", "--hold", "2d", "--ahead", "2", "--chunk", "100"});
  insert(1000);
  EXPECT_EQ(document({"show", "events"}).at("uncut").at("count"), 1000);
  const WeirResult result = consume("all", {"--from", "beginning", "--sql", kEffect});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("all: 1,000 events done, 0 tried again, 0 dead, in "));
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("made the group all: it begins with all there is"), HasSubstr("exactly once")));
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 1000);
  insert(10);
  const WeirResult again = consume("all", {"--from", "beginning", "--sql", kEffect});
  EXPECT_THAT(again.out, HasSubstr("all: 10 events done"));
  EXPECT_THAT(again.err, HasSubstr("--from is for a new one"));
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 1010);

  const json shown = document({"show", "events"});
  EXPECT_EQ(shown.at("retain_seconds"), 30 * 86400);
  EXPECT_EQ(shown.at("retain_bytes"), 1'500'000'000);
  EXPECT_EQ(shown.at("hold_seconds"), 2 * 86400);
  EXPECT_EQ(shown.at("partitions").size(), 3U);
  EXPECT_EQ(shown.at("needs_rebase"), false);
  EXPECT_THAT(run({"show", "events"}).out,
              AllOf(HasSubstr("public.events (xid, event_id, at, key, payload)"), HasSubstr("made ahead"),
                    HasSubstr("30 d 0 h, at most 1.4 GiB; a group may hold it up for 2 d 0 h more")));
  const json listed = document({"list"}).at("streams").at(0);
  EXPECT_EQ(listed.at("stream"), "events");
  EXPECT_EQ(listed.at("groups"), 1);
  EXPECT_EQ(listed.at("waiting"), 0);
  EXPECT_THAT(run({"list"}).out, HasSubstr("events"));
}

TEST_F(CliStream, ANewGroupGetsWhatComesAndATimeInThePast) {
  // Of yesterday there is no partition.
  test::wait_past_midnight(std::chrono::minutes(1), std::chrono::seconds(61));
  make();
  insert(5, "now() - interval '1 minute'");
  EXPECT_THAT(consume("late", {"--sql", kEffect}).err, HasSubstr("it gets what comes from now on"));
  make_group("other");
  session().execute("TRUNCATE effect");
  insert(3);
  EXPECT_EQ(consume("since", {"--from", "30s", "--sql", kEffect}).status, 0);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 3);
}

TEST_F(CliStream, ACommandGetsTheEventsAndItsAnswersCount) {
  make();
  insert(20);
  ASSERT_EQ(run({"set", "events", "--chunk", "1000"}).status, 0);
  const WeirResult result = consume(
      "mail",
      {"--from", "beginning", "-w", "1", "--json", "--", "sh", "-c",
       R"(while read -r line; do case $line in '{"end":'*) echo '{"ack":"all"}';; *'"n": 7}'*) id=${line#'{"id":"'}; echo "{\"id\":\"${id%%'"'*}\",\"discard\":\"seven\"}";; *) echo "$line" >>seen;; esac; done)"});
  EXPECT_EQ(result.status, 1) << result.err;
  std::istringstream lines(result.out);
  std::vector<json> events;
  for (std::string line; std::getline(lines, line);) events.push_back(json::parse(line));
  ASSERT_GE(events.size(), 2U);
  EXPECT_EQ(events.front().at("event"), "started");
  EXPECT_EQ(events.front().at("delivery"), "leased");
  EXPECT_EQ(events.back().at("event"), "stopped");
  EXPECT_EQ(events.back().at("done"), 19);
  EXPECT_EQ(events.back().at("dead"), 1);
  std::ifstream seen(folder_.path() / "seen");
  std::string line;
  std::getline(seen, line);
  EXPECT_THAT(line,
              AllOf(HasSubstr(R"("queue":"events")"), HasSubstr(R"("kind":"k1")"), HasSubstr(R"("n": 1})")));
  const json dead = document({"dead", "events", "--group", "mail"});
  EXPECT_EQ(dead.at("letters").at(0).at("error"), "seven");
  EXPECT_EQ(dead.at("letters").at(0).at("event").at("payload").at("n"), 7);
  EXPECT_EQ(dead.at("more"), false);
}

TEST_F(CliStream, SigtermEndsItWithTheFigures) {
  make();
  make_group("all");
  WeirProgram program({"stream", "consume", "events", "--group", "all", "--sql", kEffect, "--json"}, setup());
  program.wait_for("started");
  insert(30);
  wait_until([&] { return number("SELECT count(*) FROM effect") == 30; }, "the effects");
  EXPECT_EQ(group("all").at("consumers"), 1);
  const WeirResult refused = run({"drop", "events", "--yes"});
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("a process consumes for the group all of the stream events"),
                                 HasSubstr("Stop them first")));
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait_end(), 0);
  EXPECT_THAT(program.out(),
              AllOf(HasSubstr(R"({"event":"draining"})"), HasSubstr(R"("event":"stopped","done":30)")));
}

TEST_F(CliStream, SqlThatCannotWorkIsRefusedWithItsPlace) {
  make();
  insert(3);
  const auto refused = [&](const std::string& sql, const std::string& message) {
    const WeirResult result = consume("none", {"--from", "beginning", "--sql", sql});
    EXPECT_EQ(result.status, 3) << sql << result.err;
    EXPECT_THAT(result.err, HasSubstr(message)) << sql;
  };
  refused("INSERT INTO efect SELECT event_id FROM weir_chunk",
          "the SQL does not work: line 1, column 13: relation \"efect\" does not exist");
  refused("INSERT INTO effect\nSELECT event_id\n  FRM weir_chunk", "line 3, column 7: syntax error");
  refused("SELECT 'ä', evnt_id FROM weir_chunk", "line 1, column 13: column \"evnt_id\" does not exist");
  refused("SELECT 1; COMMIT", "COMMIT has no place in it");
  EXPECT_EQ(document({"show", "events"}).at("groups").size(), 0U) << "and no group was made";
  // What a value of no events would break is no fault of the SQL.
  session().execute_script("CREATE TABLE sums (n bigint NOT NULL)");
  EXPECT_EQ(consume("sums", {"--from", "beginning", "--sql",
                             "INSERT INTO sums SELECT sum((payload->>'n')::int) FROM weir_chunk"})
                .status,
            0);
  EXPECT_EQ(number("SELECT sum(n) FROM sums"), 6);
}

TEST_F(CliStream, WhatWasGivenUpIsShownAndTriedAgain) {
  make();
  insert(20);
  make_group("all");
  const WeirResult set = run({"set", "events", "--group", "all", "--max-attempts", "1", "--backoff", "5s"});
  EXPECT_EQ(set.status, 0) << set.err;
  EXPECT_THAT(set.out, HasSubstr("all: max-attempts 1, backoff 5.0 s, backoff-cap 1 h 0 m"));
  ASSERT_EQ(run({"seek", "events", "--group", "all", "--to", "beginning"}).status, 0);
  const WeirResult failed = consume("all", {"--sql", kPicky});
  EXPECT_EQ(failed.status, 1) << failed.err;
  EXPECT_THAT(failed.out, HasSubstr("19 events done, 0 tried again, 1 dead"));
  EXPECT_THAT(failed.err, HasSubstr("weir stream dead events --group all"));
  EXPECT_THAT(run({"dead", "events", "--group", "all"}).out,
              AllOf(HasSubstr("division by zero"), HasSubstr(" 7  ")));
  EXPECT_EQ(group("all").at("dead"), 1);

  const WeirResult both = run({"replay", "events", "--group", "all", "--dead", "7", "8"});
  EXPECT_EQ(both.status, 1);
  EXPECT_EQ(both.out, "1 event will be tried again\n");
  EXPECT_THAT(both.err, HasSubstr("1 among them was not dead"));
  EXPECT_EQ(group("all").at("again"), 1);
  EXPECT_EQ(consume("all", {"--sql", kEffect}).status, 0);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 20);
  EXPECT_EQ(document({"replay", "events", "--group", "all", "--dead"}).at("replayed"), 0);
  EXPECT_THAT(run({"dead", "events", "--group", "all"}).err, HasSubstr("has no dead letters"));
}

struct StreamMistake {
  Words words;
  int status;
  std::string message;
  std::string remedy;
};

TEST_F(CliStream, MistakesAreToldWithWhatToDo) {
  make();
  make_group("daily");
  const std::vector<StreamMistake> mistakes{
      {{"create"}, 2, "which stream?", "weir stream create NAME"},
      {{"create", "a", "b"}, 2, "one stream at a time", "weir stream create NAME"},
      {{"create", "events"}, 5, "events is there already", "Another name"},
      {{"create", "a.b.c"}, 2, "'a.b.c' is no name of a table", "events, app.events"},
      {{"create", "1 x"}, 2, "'1 x' is no name of a table", "events, app.events"},
      {{"create", std::string(64, 'n')}, 2, "the name of the table is longer than 63 bytes", "a shorter one"},
      {{"create", "nowhere.x"}, 3, "schema \"nowhere\" does not exist", "CREATE SCHEMA"},
      {{"create", "x", "--partition", "5s"},
       2,
       "'5s' is no time that a partition can cover",
       "1d, 6h or 30m"},
      {{"create", "x", "--retain-size", "12 parsecs"},
       2,
       "--retain-size is '12 parsecs', which is no size",
       "100GB"},
      {{"create", "x", "--chunk", "0"}, 2, "--chunk is '0'", ""},
      {{"create", "x", "--key=user"}, 2, "option '--key' takes no value", ""},
      {{"show", "evnts"}, 3, "there is no stream evnts", "There are: events."},
      {{"lag", "--group", "daily"}, 2, "of which stream?", "weir stream lag"},
      {{"lag", "events", "--group", "dialy"},
       3,
       "the stream events has no group 'dialy'",
       "Did you mean 'daily'?"},
      {{"peek", "events", "-n", "0"}, 2, "--count is '0'", ""},
      {{"peek", "events", "--group", "qqqqqq"}, 3, "has no group 'qqqqqq'", "There are: daily."},
      {{"consume", "events", "--sql", "SELECT 1"}, 2, "which group?", "--group GROUP"},
      {{"consume", "events", "--group", "g"}, 2, "what is to be done with the events?", "--sql"},
      {{"consume", "events", "--group", "g", "--sql", "SELECT 1", "--", "cat"}, 2, "exclude one another", ""},
      {{"consume", "events", "--group", "g", "--sql", "nowhere.sql"}, 2, "there is no file nowhere.sql", ""},
      {{"consume", "events", "--group", "g", "--", "./nowhere"}, 2, "cannot run ./nowhere", "chmod +x"},
      {{"consume", "events", "--group", "g", "--from", "soon", "--sql", "SELECT 1"},
       2,
       "--from is 'soon'",
       "2h"},
      {{"consume", "evnts", "--group", "g", "--sql", "SELECT 1"}, 3, "there is no stream evnts", ""},
      {{"seek", "events", "--group", "daily"}, 2, "where to?", "beginning|end"},
      {{"seek", "events", "--to", "end"}, 2, "which group?", "weir stream seek"},
      {{"replay", "events", "--group", "daily"}, 2, "what is to be replayed?", "--dead"},
      {{"replay", "events", "--group", "daily", "--dead", "--from", "2h"}, 2, "exclude one another", ""},
      {{"replay", "events", "--group", "daily", "--dead", "x"},
       2,
       "'x' is not the id of an event",
       "weir stream dead"},
      {{"replay", "events", "--group", "daily", "--from", "1h", "--to", "2h"},
       2,
       "--from is not before --to",
       ""},
      {{"set", "events"}, 2, "nothing to set was named", "weir help stream set"},
      {{"set", "events", "--max-attempts", "3"}, 2, "are those of a group", "--group"},
      {{"set", "events", "--group", "daily", "--backoff", "2h"},
       2,
       "is longer than the longest",
       "--backoff-cap"},
      {{"rebase", "events"}, 5, "is this server's already", ""},
      {{"drop", "events", "--group", "daily", "--keep-table"}, 2, "--keep-table is about a whole stream", ""},
  };
  for (const StreamMistake& mistake : mistakes) {
    const WeirResult result = run(mistake.words);
    EXPECT_EQ(result.status, mistake.status) << mistake.message << '\n' << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr(mistake.message), HasSubstr(mistake.remedy)));
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(CliStream, RightsThatAreMissingAreNamed) {
  make();
  insert(3);
  make_group("all");
  pg::Session admin = session();
  admin.execute_script(
      "DROP ROLE IF EXISTS weir_test_sue; CREATE ROLE weir_test_sue LOGIN; GRANT weir_worker TO "
      "weir_test_sue; "
      "GRANT INSERT ON events TO weir_test_sue");
  WeirSetup as_sue = setup();
  as_sue.env["PGOPTIONS"] = "-c role=weir_test_sue";
  const Words once{"stream", "consume", "events", "--group",
                   "all",    "--once",  "--sql",  "SELECT FROM weir_chunk"};
  const WeirResult denied = run_weir(once, as_sue);
  EXPECT_EQ(denied.status, 4);
  EXPECT_THAT(denied.err, AllOf(HasSubstr("user weir_test_sue may not read public.events"),
                                HasSubstr("GRANT SELECT ON \"public\".\"events\" TO \"weir_test_sue\";")));
  const WeirResult lag = run_weir({"stream", "lag", "events", "--json"}, as_sue);
  EXPECT_EQ(lag.status, 0) << lag.err;
  EXPECT_EQ(json::parse(lag.out).at("streams").at(0).at("uncut"), json());
  for (const Words& words : {Words{"stream", "keep", "events"},
                             {"stream", "drop", "events", "--yes"},
                             {"stream", "rebase", "events"}}) {
    const WeirResult refused = run_weir(words, as_sue);
    EXPECT_EQ(refused.status, 4) << words[1];
    EXPECT_THAT(refused.err, HasSubstr("user weir_test_sue does not own public.events"));
  }
  admin.execute("GRANT SELECT ON events TO weir_test_sue");
  insert(2);
  const WeirResult good = run_weir(once, as_sue);
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("2 events done"));
  admin.execute_script("DROP OWNED BY weir_test_sue; DROP ROLE weir_test_sue");
}

TEST_F(CliStream, TheExampleIsExactAlsoWhenAConsumerIsKilled) {
  const std::string example = std::filesystem::canonical(WEIR_TEST_DIR "/../examples/stream").string();
  const auto psql = [&](const std::string& file) {
    return run_weir({"db", "psql", "--", "-Atqf", example + "/" + file}, setup());
  };
  ASSERT_EQ(run({"create", "orders", "--partition", "1d", "--retain", "30d", "--chunk", "50"}).status, 0);
  ASSERT_EQ(psql("tables.sql").status, 0);
  const Words words{"stream",    "consume", "orders",
                    "--group",   "daily",   "--from",
                    "beginning", "--sql",   example + "/daily.sql"};
  WeirProgram killed(words, setup());
  killed.wait_for_error("consuming orders for daily");
  const std::string produce = "cd '" + folder_.path().string() + "' && DATABASE_URL='" + url() + "' WEIR='" +
                              weir_binary() + "' '" + example + "/produce.sh' 300";
  ASSERT_EQ(std::system(produce.c_str()), 0);  // NOLINT(cert-env33-c)
  wait_until([&] { return number("SELECT count(*) FROM daily") > 0; }, "a first sum");
  killed.signal(SIGKILL);
  killed.wait_end();
  ASSERT_EQ(std::system(produce.c_str()), 0);  // NOLINT(cert-env33-c)
  Words rest = words;
  rest.emplace_back("--once");
  const WeirResult result = run_weir(rest, setup());
  EXPECT_EQ(result.status, 0) << result.err;
  const std::int64_t events = number("SELECT count(*) FROM orders");
  EXPECT_GT(events, 2000);
  EXPECT_EQ(psql("check.sql").out, "0|" + std::to_string(events) + "|" + std::to_string(events) + "\n");
}

TEST_F(CliStream, InOrderByKeyWithSqlAndWithACommand) {
  make();
  insert(70);
  const WeirResult by_sql =
      consume("sql", {"--from", "beginning", "--ordered", "--lanes", "4", "--sql", kEffect});
  EXPECT_EQ(by_sql.status, 0) << by_sql.err;
  EXPECT_THAT(by_sql.err, HasSubstr("the group sql is kept in order by key, in 4 lanes"));
  EXPECT_THAT(by_sql.out, HasSubstr("sql: 70 events done, 0 tried again, 0 dead"));
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 70);
  EXPECT_EQ(group("sql").at("lanes"), 4);
  EXPECT_EQ(group("sql").at("events"), 0);

  const WeirResult by_command = consume(
      "command",
      {"--from", "beginning", "--ordered", "-w", "3", "--", "sh", "-c",
       R"(while read -r line; do case $line in '{"end":'*) echo '{"ack":"all"}';; *) echo "$line" >>seen;; esac; done)"});
  EXPECT_EQ(by_command.status, 0) << by_command.err;
  std::ifstream seen(folder_.path() / "seen");
  std::map<std::string, int> last;
  int lines = 0;
  for (std::string line; std::getline(seen, line); ++lines) {
    const json event = json::parse(line);
    const auto n = event.at("payload").at("n").get<int>();
    const auto key = event.at("kind").get<std::string>();
    EXPECT_GT(n, last[key]) << key;
    last[key] = n;
  }
  EXPECT_EQ(lines, 70);

  const WeirResult other = consume("sql", {"--ordered", "--lanes", "5", "--sql", kEffect});
  EXPECT_EQ(other.status, 5);
  EXPECT_THAT(other.err, AllOf(HasSubstr("the group sql of the stream events has 4 lanes, and not 5"),
                               HasSubstr("leave --lanes out")));
  EXPECT_EQ(consume("sql", {"--lanes", "4", "--sql", kEffect}).status, 2);
  make_group("plain");
  EXPECT_EQ(consume("plain", {"--ordered", "--sql", kEffect}).status, 5);
  EXPECT_EQ(run({"replay", "events", "--group", "sql", "--from", "beginning"}).status, 5);
  EXPECT_THAT(run({"show", "events"}).out,
              AllOf(HasSubstr("sql (in order, 4 lanes)"), HasSubstr("sql, the slowest")));
  const json lanes = document({"show", "events"}).at("lanes");
  EXPECT_EQ(lanes.size(), 2U);
  EXPECT_EQ(lanes.at(0).at("chunks"), 0);
}

}  // namespace
}  // namespace weir::test
