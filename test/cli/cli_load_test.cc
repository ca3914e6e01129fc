// `weir load` and its history from the command line.
#include <csignal>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <sqlite3.h>

#include "cli_load_fixture.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Words = std::vector<std::string>;
using nlohmann::json;

class CliLoad : public CliLoadFixture {};

std::string example() { return WEIR_TEST_DIR "/../examples/rates/rates.csv"; }

TEST_F(CliLoad, TheExampleIsLoadedTwiceAndTheSecondTimeWritesNoRow) {
  const Words words{example(), "--into", "silver_rates", "--mode", "refresh", "--key", "ts,pair"};
  const json first = document(words);
  EXPECT_EQ(first.at("created"), true);
  EXPECT_EQ(first.at("inserted"), 200);
  EXPECT_EQ(first.at("target"), "silver_rates");
  const json second = document(words);
  EXPECT_EQ(second.at("created"), false);
  EXPECT_EQ(second.at("inserted"), 0);
  EXPECT_EQ(second.at("updated"), 0);
  EXPECT_EQ(second.at("deleted"), 0);
  EXPECT_EQ(second.at("unchanged"), 200);
  EXPECT_EQ(value("SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER "
                  "BY attnum) "
                  "FROM pg_attribute WHERE attrelid = 'silver_rates'::regclass AND attnum > 0"),
            "ts timestamp with time zone, pair text, rate numeric, bid numeric, ask numeric, volume bigint, "
            "venue text");
  EXPECT_EQ(value("SELECT rate::text FROM silver_rates ORDER BY ts, pair COLLATE \"C\" DESC LIMIT 1"),
            "31.2010");

  const WeirResult text = run(words);
  EXPECT_THAT(text.out, AllOf(StartsWith("silver_rates: refresh of "), HasSubstr("200 unchanged"),
                              HasSubstr("ACCESS SHARE at most"), HasSubstr("records/s")));
  EXPECT_THAT(run({"history", "silver_rates"}).out, AllOf(HasSubstr("applied"), HasSubstr("+200")));
}

TEST_F(CliLoad, ADryRunShowsThePlanAndChangesNothing) {
  write("r.csv", "id,amount\n1,1.5\n2,2.5\n");
  const WeirResult made = run({"r.csv", "--into", "r", "--key", "id", "--dry-run"});
  EXPECT_EQ(made.status, 0) << made.err;
  EXPECT_THAT(made.out, AllOf(HasSubstr("nothing was changed"), HasSubstr("CREATE TABLE"),
                              HasSubstr("ROW EXCLUSIVE"), HasSubstr("at most 20% of the rows deleted")));
  EXPECT_EQ(value("SELECT coalesce(to_regclass('r')::text, 'none')"), "none");
  EXPECT_EQ(value("SELECT count(*)::text FROM weir.load_run"), "0");

  execute("CREATE TABLE r (id int4 PRIMARY KEY)");
  const json plan = document({"r.csv", "--into", "r", "--key", "id", "--dry-run"});
  EXPECT_THAT(plan.at("alter_sql").get<std::string>(), HasSubstr("ALTER TABLE"));
  EXPECT_EQ(plan.at("columns_added").at(0).at("name"), "amount");
  EXPECT_EQ(plan.at("strongest_lock"), "ROW EXCLUSIVE");
  EXPECT_FALSE(plan.at("steps").empty());
}

TEST_F(CliLoad, ADryRunThatFindsARefusalEndsWithFive) {
  write("r.csv", "id\n1\n");
  execute("CREATE TABLE r (id int4)");
  const WeirResult refused = run({"r.csv", "--into", "r", "--mode", "upsert", "--key", "id", "--dry-run"});
  EXPECT_EQ(refused.status, 5) << refused.out << refused.err;
  EXPECT_THAT(refused.out, HasSubstr("refused: "));
}

TEST_F(CliLoad, SourcesOfManyKinds) {
  const auto rows = [&](const std::string& table) { return value("SELECT count(*)::text FROM " + table); };
  EXPECT_EQ(document({"-", "--into", "a", "--mode", "append"}, "{\"id\": 1}\n{\"id\": 2}\n").at("inserted"),
            2);
  EXPECT_EQ(rows("a"), "2");
  write("1.csv", "id;x\n1;a\n");
  write("2.csv", "id;x\n2;b\n3;c\n");
  EXPECT_EQ(document({"[12].csv", "--into", "b"}).at("inserted"), 3);
  EXPECT_EQ(document({"1.csv", "2.csv", "--into", "b"}).at("unchanged"), 3);
  EXPECT_EQ(document({"--into", "c", "--", "sh", "-c", "cat 2.csv | gzip"}).at("inserted"), 2);
  EXPECT_EQ(document({url(), "--query", "SELECT g AS id FROM generate_series(1, 5) g", "--into", "d"})
                .at("inserted"),
            5);
  const std::string password_free = value("SELECT source FROM weir.load_run ORDER BY id DESC LIMIT 1");
  EXPECT_THAT(password_free, Not(HasSubstr("password")));
}

TEST_F(CliLoad, ACommandThatFailsLoadsNothing) {
  execute("CREATE TABLE t AS SELECT 1 AS id");
  const WeirResult failed = run({"--into", "t", "--", "sh", "-c", "echo id; echo 2; echo oops >&2; exit 3"});
  EXPECT_EQ(failed.status, 1) << failed.err;
  EXPECT_THAT(failed.err, HasSubstr("oops"));
  EXPECT_EQ(value("SELECT string_agg(id::text, ',') FROM t"), "1");
}

TEST_F(CliLoad, RejectsAreKeptShownAndReplayed) {
  execute("CREATE TABLE parent (id int4 PRIMARY KEY)");
  execute("INSERT INTO parent VALUES (1)");
  execute("CREATE TABLE t (id int4 PRIMARY KEY, parent int4 REFERENCES parent, note text)");
  write("t.csv", "id,parent,note\n1,1,\"a, b\"\n2,2,late\nx,1,bad\n");
  const Words words{"t.csv", "--into", "t", "--mode", "upsert", "--key", "id", "--schema", "quarantine"};
  const WeirResult refused = run(words);
  EXPECT_EQ(refused.status, 5) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("--max-rejects"));
  EXPECT_EQ(value("SELECT count(*)::text FROM t"), "0");

  Words allowed = words;
  allowed.insert(allowed.end(), {"--max-rejects", "50%"});
  EXPECT_EQ(run(allowed).status, 5) << "two of three are more than a half";
  allowed.back() = "2";
  const json loaded = document(allowed);
  EXPECT_EQ(loaded.at("rejected"), 2);
  EXPECT_EQ(loaded.at("inserted"), 1);
  const std::string number = loaded.at("run");

  const WeirResult lines = run({"rejects", number, "--ndjson"});
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2) << lines.out;
  EXPECT_THAT(run({"rejects", number}).out, AllOf(HasSubstr("x,1,bad"), HasSubstr("parent")));
  EXPECT_THAT(run({"rejects", number, "--csv"}).out,
              AllOf(StartsWith("line,file,column,sqlstate,reason,raw,raw_base64\n"), HasSubstr("\"x,1,bad")));
  EXPECT_THAT(run({"show", number}).out, AllOf(HasSubstr("applied"), HasSubstr("for instance")));
  EXPECT_EQ(document({"show", number}).at("reasons").size(), 2U);

  execute("INSERT INTO parent VALUES (2)");
  EXPECT_EQ(run({"replay", number}).status, 5) << "one is bad as ever";
  const json replayed = document({"replay", number, "--max-rejects", "1"});
  EXPECT_EQ(replayed.at("inserted"), 1);
  EXPECT_EQ(replayed.at("rejected"), 1);
  EXPECT_EQ(value("SELECT note FROM t WHERE id = 2"), "late");
  const WeirResult again = run({"replay", number, "--max-rejects", "1"});
  EXPECT_EQ(again.status, 5);
  EXPECT_THAT(again.err, AllOf(HasSubstr("was replayed already"), HasSubstr("--force")));
}

TEST_F(CliLoad, AnInterruptedLoadLeavesTheTableAndGoesOn) {
  execute("CREATE TABLE t (id int4 PRIMARY KEY)");
  execute("INSERT INTO t VALUES (1)");
  write("t.csv", "id\n1\n2\n3\n");
  pg::Session other = session();
  other.execute("BEGIN");
  other.execute("LOCK TABLE t IN SHARE MODE");
  const Words words{"load", "t.csv", "--into", "t", "--key", "id", "--json"};
  WeirProgram load(words, setup());
  wait_until([&] { return value("SELECT count(*)::text FROM pg_locks WHERE NOT granted") == "1"; },
             "apply waits");
  load.signal(SIGINT);
  EXPECT_EQ(load.wait_end(), 130);
  EXPECT_THAT(load.out(), HasSubstr("Run the same command again"));
  other.execute("ROLLBACK");
  EXPECT_EQ(value("SELECT count(*)::text FROM t"), "1");
  EXPECT_THAT(run({"history"}).out, HasSubstr("broken off, resumable"));
  EXPECT_THAT(run({"show", "1"}).out, AllOf(HasSubstr("broken off, resumable"), HasSubstr("error")));
  const json shown = document({"show", "1"});
  EXPECT_EQ(shown.at("state"), "staging");
  EXPECT_EQ(shown.at("resumable"), true);
  EXPECT_EQ(shown.at("running"), false);

  const json resumed = document({"t.csv", "--into", "t", "--key", "id"});
  EXPECT_EQ(resumed.at("resumed_from"), 3);
  EXPECT_EQ(resumed.at("inserted"), 2);
  EXPECT_EQ(value("SELECT count(*)::text FROM weir.load_run"), "1") << "it is the same run";
}

TEST_F(CliLoad, AFileThatTurnsOutWiderIsAppendedAllTheSame) {
  execute("CREATE TABLE t (id int4, v int4)");
  std::string text = "id,v\n";
  for (int n = 1; n <= 20; ++n) text += std::to_string(n) + (n == 15 ? ",3000000000\n" : ",1\n");
  write("t.csv", text);
  const Words words{"t.csv", "--into", "t", "--mode", "append", "--sample", "10"};
  const json loaded = document(words);
  EXPECT_EQ(loaded.at("inserted"), 20);
  EXPECT_EQ(loaded.at("direct"), false);
  EXPECT_EQ(loaded.at("columns_widened").at(0).at("name"), "v");
  const WeirResult pipe = run({"-", "--into", "t", "--mode", "append", "--sample", "10"},
                              "id,v\n1,1\n" + text.substr(5) + "2,1.5\n");
  EXPECT_EQ(pipe.status, 5);
  EXPECT_THAT(pipe.err, HasSubstr("--staged"));
}

TEST_F(CliLoad, JsonRecordsHaveALimitToo) {
  execute("CREATE TABLE t (id int4, v text)");
  write("t.ndjson", "{\"id\": 1}\n{\"id\": 2, \"v\": \"" + std::string(1'200'000, 'x') + "\"}\n");
  EXPECT_EQ(run({"t.ndjson", "--into", "t", "--mode", "append", "--max-record", "1"}).status, 5);
  EXPECT_EQ(document({"t.ndjson", "--into", "t", "--mode", "append", "--max-record", "2"}).at("inserted"), 2);
}

TEST_F(CliLoad, AnInterruptedAppendSaysThatItBeginsAnew) {
  execute("CREATE TABLE t (id int4 PRIMARY KEY)");
  write("t.csv", "id\n1\n2\n");
  pg::Session other = session();
  other.execute("BEGIN");
  other.execute("INSERT INTO t VALUES (2)");  // whoever has the same key waits for its end
  WeirProgram load({"load", "t.csv", "--into", "t", "--mode", "append", "--json"}, setup());
  wait_until([&] { return value("SELECT count(*)::text FROM pg_locks WHERE NOT granted") == "1"; },
             "COPY waits");
  load.signal(SIGINT);
  EXPECT_EQ(load.wait_end(), 130);
  EXPECT_THAT(load.out(), AllOf(HasSubstr("t is as it was"), HasSubstr("it begins anew")));
  other.execute("ROLLBACK");
  EXPECT_EQ(value("SELECT count(*)::text FROM t"), "0");
}

TEST_F(CliLoad, AnInterruptedPipeIsReadFromItsBeginningNextTime) {
  const Words words{"load", "--into", "t",  "--json",
                    "--",   "sh",     "-c", "echo id; echo 1; : > began; exec sleep 600"};
  WeirProgram load(words, setup());
  wait_until([&] { return std::filesystem::exists(folder_.path() / "began"); }, "the command runs");
  load.signal(SIGTERM);
  EXPECT_EQ(load.wait_end(), 130);
  EXPECT_THAT(load.out(), HasSubstr("read from its beginning"));
}

TEST_F(CliLoad, ProgressIsALineOnATerminalAndRecordsInALog) {
  WeirSetup on_terminal = setup();
  on_terminal.terminal = true;
  const Words words{"load", example(), "--into", "r", "--mode", "append"};
  const WeirResult seen = run_weir(words, on_terminal);
  EXPECT_EQ(seen.status, 0);
  EXPECT_THAT(seen.out, AllOf(HasSubstr("\rweir: "), HasSubstr("apply")));

  Words logged = words;
  logged.insert(logged.end(), {"--log", "json"});
  const WeirResult log = run_weir(logged, setup());
  EXPECT_THAT(log.err, AllOf(HasSubstr("\"phase\":\"stage\""), HasSubstr("\"rows\":200")));
  logged.emplace_back("-q");
  EXPECT_THAT(run_weir(logged, setup()).err, AllOf(Not(HasSubstr("phase")), Not(HasSubstr("weir:"))));
}

TEST_F(CliLoad, AGuessOfTheEncodingIsTold) {
  write("west.csv", "id,name\n1,caf\xE9\n");
  const std::string guess =
      "west.csv: read as windows-1252, which is a guess: the byte 0xe9 in line 2 is not UTF-8";
  EXPECT_THAT(document({"west.csv", "--into", "t", "--dry-run"}).at("notices").at(0), HasSubstr(guess));
  EXPECT_THAT(document({"west.csv", "--into", "t"}).at("notices").at(0), HasSubstr(guess));
  EXPECT_EQ(value("SELECT name FROM t"), "café");
  const WeirResult text = run({"west.csv", "--into", "t"});
  EXPECT_THAT(text.err, HasSubstr("weir: " + guess + " (--encoding says what it is)\n")) << "while it runs";
  EXPECT_THAT(text.out, HasSubstr("  notice: " + guess));
  EXPECT_THAT(run({"west.csv", "--into", "t", "--log", "json"}).err, HasSubstr("\"notice\":\"" + guess));
  EXPECT_TRUE(document({"west.csv", "--into", "t", "--encoding", "latin1"}).at("notices").empty());
  write("broken.csv", "id,name\n1,caf\xC3\xA9\n2,caf\xE9\n");
  const WeirResult broken = run({"broken.csv", "--into", "t"});
  EXPECT_EQ(broken.status, 5);
  EXPECT_THAT(broken.err,
              AllOf(HasSubstr("broken.csv: read as UTF-8, but the byte 0xe9 in line 3"),
                    HasSubstr("broken.csv, line 3, column name: the byte 0xe9 at 3 is not UTF-8")));
}

TEST_F(CliLoad, MessagesNameThePlaceAndWhatHelps) {
  write("array.json", "[1, 2]");
  const WeirResult array = run({"array.json", "--into", "t"});
  EXPECT_EQ(array.status, 5);
  EXPECT_THAT(array.err,
              AllOf(HasSubstr("array.json has no record that tells its columns"),
                    HasSubstr("line 1, at 2: a record is a JSON object, and this is a single value")));
  execute("CREATE TABLE t (id int4 PRIMARY KEY, v int4 CHECK (v > 0))");
  write("t.csv", "id,v\n1,1\nx,1\n2,0\ny,1\n");
  const Words words{"t.csv", "--into", "t", "--key", "id", "--schema", "quarantine"};
  const WeirResult none = run(words);
  EXPECT_THAT(none.err, AllOf(HasSubstr("1 of 2 records cannot be loaded, and none may be rejected"),
                              HasSubstr("\n  t.csv, line 3, column id: "),
                              HasSubstr("Nothing behind the last of these")));
  Words some = words;
  some.insert(some.end(), {"--max-rejects", "10%"});
  EXPECT_THAT(run(some).err, AllOf(HasSubstr("2 of 4 records cannot be loaded, and 10% may be rejected"),
                                   HasSubstr("--max-rejects 2\n")));
  some.back() = "2";
  EXPECT_THAT(
      run(some).err,
      AllOf(HasSubstr("3 of 4 records cannot be loaded, and 2 may be rejected; the first: t.csv, line 3"),
            HasSubstr("--max-rejects 3\n")));
  EXPECT_THAT(run(some).err, Not(HasSubstr(" 0 rows")));
  some.back() = "3";
  const std::string number = document(some).at("run");
  EXPECT_THAT(run({"replay", number}).err, HasSubstr("t.csv, line 3, column id: 'x'"));
}

TEST_F(CliLoad, BrokenJsonIsNamedByItsFileAndNotReplayedAsSomethingElse) {
  write("t.ndjson", "{\"id\": 1}\n{\"id\": 2\n");
  const std::string number =
      document({"t.ndjson", "--into", "t", "--key", "id", "--max-rejects", "1"}).at("run");
  const WeirResult replay = run({"replay", number});
  EXPECT_EQ(replay.status, 1);
  EXPECT_THAT(replay.err,
              HasSubstr("nothing of load " + number + " can be replayed: line 2: it is no JSON object"));
  write("t.json", "[{\"id\": 1},\n{\"id\":");
  const WeirResult open = run({"t.json", "--into", "t", "--key", "id"});
  EXPECT_EQ(open.status, 1);
  EXPECT_THAT(
      open.err,
      HasSubstr(
          "t.json: the JSON array has no end: the input breaks off in the element that begins at line 2"));
}

TEST_F(CliLoad, AReplayOfALoadWithoutRejectsSaysThat) {
  write("t.csv", "id\n1\n");
  const std::string first = document({"t.csv", "--into", "t", "--key", "id"}).at("run");
  document({"t.csv", "--into", "t", "--key", "id"});
  const WeirResult replay = run({"replay", first});
  EXPECT_EQ(replay.status, 0) << replay.err;
  EXPECT_THAT(replay.err, HasSubstr("load " + first + " rejected nothing"));
}

TEST_F(CliLoad, AResumedLoadThatHasReadAllHasNoRate) {
  execute("CREATE TABLE t (id int4 PRIMARY KEY)");
  write("t.csv", "id\n1\n2\n");
  pg::Session other = session();
  other.execute("BEGIN");
  other.execute("LOCK TABLE t IN SHARE MODE");
  WeirProgram load({"load", "t.csv", "--into", "t", "--key", "id"}, setup());
  wait_until([&] { return value("SELECT count(*)::text FROM pg_locks WHERE NOT granted") == "1"; },
             "apply waits");
  load.signal(SIGINT);
  EXPECT_EQ(load.wait_end(), 130);
  other.execute("ROLLBACK");
  const WeirResult resumed = run({"t.csv", "--into", "t", "--key", "id"});
  EXPECT_THAT(resumed.out, AllOf(HasSubstr("2 records were staged already"), Not(HasSubstr("records/s"))));
}

// A key that a record has not is null in it; a column that no record has stays as it is.
TEST_F(CliLoad, KeysThatARecordHasNot) {
  execute("CREATE TABLE t (id int4 PRIMARY KEY, a text DEFAULT 'd', b text DEFAULT 'e')");
  execute("INSERT INTO t VALUES (1, 'x', 'y'), (2, 'x', 'y')");
  write("t.ndjson", "{\"id\": 1}\n{\"id\": 2, \"a\": \"new\"}\n{\"id\": 3}\n");
  EXPECT_EQ(document({"t.ndjson", "--into", "t", "--key", "id", "--mode", "upsert"}).at("updated"), 2);
  EXPECT_EQ(value("SELECT string_agg(format('%s %s %s', id, coalesce(a, 'null'), coalesce(b, 'null')), ', ' "
                  "ORDER BY id) FROM t"),
            "1 null y, 2 new y, 3 null e");
}

TEST_F(CliLoad, AHistoryThatIsNotThereIsMade) {
  write("1.csv", "id,v\n1,a\n2,b\n");
  write("2.csv", "id,v\n1,a\n2,B\n");
  const json made = document({"1.csv", "--into", "h", "--mode", "scd2", "--key", "id", "--at", "2026-01-01"});
  EXPECT_EQ(made.at("created"), true);
  EXPECT_EQ(made.at("inserted"), 2);
  EXPECT_EQ(
      document({"2.csv", "--into", "h", "--mode", "scd2", "--key", "id", "--at", "2026-02-01"}).at("closed"),
      1);
  EXPECT_EQ(value("SELECT string_agg(format('%s %s %s %s %s', id, v, valid_from::date, "
                  "coalesce(valid_to::date::text, "
                  "'-'), is_current), ', ' ORDER BY id, valid_from) FROM h"),
            "1 a 2026-01-01 - t, 2 b 2026-01-01 2026-02-01 f, 2 B 2026-02-01 - t");
  EXPECT_EQ(value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'h'::regclass AND "
                  "contype = 'p'"),
            "PRIMARY KEY (id, valid_from)");
  const WeirResult plan = run({"1.csv", "--into", "other", "--mode", "scd2", "--key", "id", "--dry-run"});
  EXPECT_THAT(plan.out, HasSubstr("PRIMARY KEY (\"id\", \"valid_from\")"));
  write("own.csv", "id,valid_from\n1,2026-01-01\n");
  EXPECT_EQ(run({"own.csv", "--into", "own", "--mode", "scd2", "--key", "id"}).status, 5);
  const WeirResult many =
      run({"2.csv", "--into", "h", "--mode", "scd2", "--key", "id", "--at", "2026-01-15", "--restart"});
  EXPECT_EQ(many.status, 0) << "nothing is different";
  write("3.csv", "id,v\n1,a\n");
  EXPECT_THAT(run({"3.csv", "--into", "h", "--mode", "scd2", "--key", "id"}).err,
              HasSubstr("would close 1 of 2 rows of h"));
}

// What only the server finds out is a refusal with a remedy, too, wherever it finds it.
TEST_F(CliLoad, WhatTheServerRefusesIsToldWithARemedy) {
  execute("CREATE TABLE t (id int4 PRIMARY KEY, v int4 CHECK (v > 0)); ");
  execute("CREATE TABLE kid (t int4 REFERENCES t)");
  execute("INSERT INTO t VALUES (1, 1), (2, 2)");
  execute("INSERT INTO kid VALUES (2)");
  execute("CREATE TABLE p (id int4) PARTITION BY RANGE (id)");
  execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)");
  execute("CREATE TABLE c (id int4 CHECK (id < 10))");
  write("one.csv", "id,v\n1,1\n");
  write("twenty.csv", "id\n20\n");
  struct Refused {
    Words words;
    std::string message;
    std::string remedy;
  };
  for (const Refused& refused : std::vector<Refused>{
           {{"one.csv", "--into", "t", "--mode", "append"},
            "t does not take a record: duplicate key value violates unique constraint \"t_pkey\": Key "
            "(id)=(1) already",
            "--staged"},
           {{"one.csv", "--into", "t", "--mode", "append", "--staged"},
            "the first: one.csv, line 2: duplicate key value violates unique constraint \"t_pkey\": Key "
            "(id)=(1)",
            "--max-rejects 1"},
           {{"one.csv", "--into", "t", "--key", "id", "--max-deletes", "100%"},
            "rows of t that the source has not are referred to by others: update or delete on table \"t\"",
            "--mode upsert"},
           {{"twenty.csv", "--into", "p", "--mode", "partition-swap", "--partition", "p1"},
            "a record does not belong into partition p1 (FOR VALUES FROM (0) TO (10)): Failing row contains "
            "(20)",
            "--mode window"},
           {{"twenty.csv", "--into", "c", "--mode", "swap"},
            "c cannot be built from the source: new row for relation",
            "--mode refresh"},
           {{"one.csv", "--into", "weir.load_run"},
            "no table of schema weir can be loaded into",
            "--into SCHEMA.TABLE"},
           {{"one.csv", "--into", "weir.new_one"},
            "no table of schema weir can be loaded into",
            "--into SCHEMA.TABLE"},
       }) {
    SCOPED_TRACE(::testing::PrintToString(refused.words));
    const WeirResult result = run(refused.words);
    EXPECT_EQ(result.status, 5);
    EXPECT_THAT(result.err,
                AllOf(HasSubstr(refused.message), HasSubstr(refused.remedy), Not(HasSubstr("(query "))));
  }
  EXPECT_EQ(value("SELECT string_agg(id::text, ',' ORDER BY id) FROM t"), "1,2");
  EXPECT_EQ(run({"one.csv", "--into", "t", "--mode", "swap", "--max-rejects", "1"}).status, 2)
      << "it can reject none";
}

TEST_F(CliLoad, SourcesThatAreDatabasesSayWhatTheyCannotAnswer) {
  const WeirResult table = run({url(), "--table", "nowhere", "--into", "t"});
  EXPECT_EQ(table.status, 1);
  EXPECT_THAT(table.err,
              AllOf(HasSubstr("the source cannot run the query: relation \"nowhere\" does not exist"),
                    Not(HasSubstr("(query "))));
  sqlite3* made = nullptr;
  ASSERT_EQ(sqlite3_open((folder_.path() / "a.db").c_str(), &made), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(made, "CREATE TABLE users (id); CREATE VIEW names AS SELECT 1", nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(made);
  const WeirResult sqlite = run({"a.db", "--table", "user", "--into", "t"});
  EXPECT_EQ(sqlite.status, 1);
  EXPECT_THAT(sqlite.err,
              AllOf(HasSubstr("no such table: user"), HasSubstr("Its tables are: names, users.")));
}

TEST_F(CliLoad, AnotherLoadOfTheTableIsWaitedForAsLongAsItIsSaid) {
  execute("CREATE TABLE t (id int4 PRIMARY KEY)");
  write("t.csv", "id\n1\n");
  pg::Session other = session();
  other.execute("SELECT pg_advisory_lock(hashtextextended('weir load:' || 't'::regclass::oid::int8, 0))");
  for (const char* mode : {"refresh", "swap"}) {
    const WeirResult given_up = run({"t.csv", "--into", "t", "--mode", mode, "--wait", "0s"});
    EXPECT_EQ(given_up.status, 1) << mode;
    EXPECT_THAT(given_up.err, AllOf(HasSubstr("waiting for another load of t"),
                                    HasSubstr("another load of t did not end"), HasSubstr("--wait")));
  }
  WeirProgram load({"load", "t.csv", "--into", "t"}, setup());
  load.wait_for_error("waiting for another load of t, at most 10 m");
  other.execute("SELECT pg_advisory_unlock_all()");
  EXPECT_EQ(load.wait_end(), 0) << load.err();
}

TEST_F(CliLoad, ASequenceThatIsBehindIsNamed) {
  execute("CREATE TABLE t (id int8 GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text)");
  write("t.csv", "id,v\n7,a\n");
  const json loaded = document({"t.csv", "--into", "t", "--key", "id"});
  ASSERT_EQ(loaded.at("care").at("advice").size(), 1U);
  execute(loaded.at("care").at("advice").at(0).get<std::string>());
  execute("INSERT INTO t (v) VALUES ('b')");
  EXPECT_EQ(value("SELECT max(id)::text FROM t"), "8");
  EXPECT_TRUE(
      document({"t.csv", "--into", "t", "--mode", "upsert", "--key", "id"}).at("care").at("advice").empty());
}

TEST_F(CliLoad, ATableWithRowSecurityIsAppendedToByInsert) {
  execute("CREATE TABLE t (id int4)");
  execute("CREATE POLICY small ON t USING (id < 10)");
  execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY");
  const std::string role = "weir_rls_" + value("SELECT current_database()");
  execute("CREATE ROLE " + role + " LOGIN IN ROLE weir_worker");
  execute("GRANT SELECT, INSERT ON t TO " + role);
  write("t.csv", "id\n1\n11\n");
  const WeirSetup as_role{.env = {{"DATABASE_URL", url()}, {"PGOPTIONS", "-c role=" + role}},
                          .folder = folder_.path()};
  const WeirResult refused = run_weir({"load", "t.csv", "--into", "t", "--mode", "append"}, as_role);
  EXPECT_EQ(refused.status, 5) << refused.out << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("t.csv, line 3: new row violates row-level security policy"));
  execute("DROP OWNED BY " + role);
  execute("DROP ROLE " + role);
}

TEST_F(CliLoad, TypesThatAreSaidOfATableThatIsThereAreNotHeeded) {
  write("t.csv", "id,v\n1,2\n");
  EXPECT_TRUE(
      document({"t.csv", "--into", "t", "--key", "id", "--columns", "v:numeric"}).at("warnings").empty());
  const json again = document({"t.csv", "--into", "t", "--key", "id", "--columns", "v:int4,id:int8"});
  ASSERT_EQ(again.at("warnings").size(), 2U);
  EXPECT_EQ(again.at("warnings").at(0), "t.v is there: its type holds, not what --columns says");
}

TEST_F(CliLoad, MistakesAreTold) {
  write("r.csv", "id\n1\n");
  execute("CREATE TABLE h (id int, v text, valid_from timestamptz, valid_to timestamptz)");
  const std::string longest(63, 'n');
  struct Mistake {
    Words words;
    int status;
    std::string message;
  };
  for (const Mistake& mistake : std::vector<Mistake>{
           {{"r.csv"}, 2, "--into is missing"},
           {{"r.csv", "--into", "t", "--mode", "refesh"}, 2, "Did you mean 'refresh'?"},
           {{"none.csv", "--into", "t"}, 2, "none.csv"},
           {{"r.csv", "--into", "t", "--key", "nope"}, 3, "the key column nope is not in the source"},
           {{"show", "4711"}, 1, "there is no load 4711"},
           {{"show", "x"}, 2, "'x' is not the number of a load"},
           {{"rejects"}, 2, "which load?"},
           {{"rejects", "1", "--csv", "--ndjson"}, 2, "contradict each other"},
           {{"replay", "4711"}, 1, "there is no load 4711"},
           {{"r.csv", "--into", longest + "n"}, 2, "has 64 bytes"},
           {{"r.csv", "--into", longest + "n.t"}, 2, "has 64 bytes"},
           {{"r.csv", "--into", "h", "--key", "id", "--mode", "scd2", "--at", "nonsense"},
            2,
            "--at: 'nonsense' is no timestamp with time zone"},
           {{"r.csv", "--into", "h", "--key", "id", "--mode", "scd2", "--at", "nonsense", "--dry-run"},
            2,
            "--at: 'nonsense'"},
           {{"r.csv", "--into", "h", "--mode", "window", "--window", "id:a..b"},
            2,
            "the window of id: 'a' is no integer"},
           {{"r.csv", "--into", "h", "--mode", "window", "--window", "id:1..b", "--dry-run"},
            2,
            "the window of id: 'b' is no integer"},
       }) {
    SCOPED_TRACE(::testing::PrintToString(mistake.words));
    const WeirResult result = run(mistake.words);
    EXPECT_EQ(result.status, mistake.status) << result.err;
    EXPECT_THAT(result.err, HasSubstr(mistake.message));
    EXPECT_EQ(result.out, "");
  }
}

}  // namespace
}  // namespace weir::test
