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
  EXPECT_EQ(plan.at("strongest_lock"), "ACCESS EXCLUSIVE") << "of the ALTER";
  EXPECT_EQ(plan.at("steps").at(0).at("step"), "alter");
  EXPECT_EQ(plan.at("steps").at(0).at("sql"), plan.at("alter_sql"));
  const json done = document({"r.csv", "--into", "r", "--key", "id"});
  EXPECT_EQ(done.at("strongest_lock"), "ACCESS EXCLUSIVE");
  EXPECT_EQ(done.at("readers_waited"), 0);
  EXPECT_EQ(done.at("longest_reader_wait_seconds"), 0);
  EXPECT_EQ(document({"r.csv", "--into", "r", "--key", "id", "--dry-run"}).at("strongest_lock"),
            "ROW EXCLUSIVE");
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

}  // namespace
}  // namespace weir::test
