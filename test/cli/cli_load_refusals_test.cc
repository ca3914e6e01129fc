// What `weir load` refuses, and what it says then.

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <sqlite3.h>

#include "cli_load_fixture.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;
using nlohmann::json;

class CliLoadRefusals : public CliLoadFixture {};

TEST_F(CliLoadRefusals, ADryRunThatFindsARefusalEndsWithFive) {
  write("r.csv", "id\n1\n");
  execute("CREATE TABLE r (id int4)");
  const WeirResult refused = run({"r.csv", "--into", "r", "--mode", "upsert", "--key", "id", "--dry-run"});
  EXPECT_EQ(refused.status, 5) << refused.out << refused.err;
  EXPECT_THAT(refused.out, HasSubstr("refused: "));
}

TEST_F(CliLoadRefusals, ACommandThatFailsLoadsNothing) {
  execute("CREATE TABLE t AS SELECT 1 AS id");
  const WeirResult failed = run({"--into", "t", "--", "sh", "-c", "echo id; echo 2; echo oops >&2; exit 3"});
  EXPECT_EQ(failed.status, 1) << failed.err;
  EXPECT_THAT(failed.err, HasSubstr("oops"));
  EXPECT_EQ(value("SELECT string_agg(id::text, ',') FROM t"), "1");
}

TEST_F(CliLoadRefusals, MessagesNameThePlaceAndWhatHelps) {
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

TEST_F(CliLoadRefusals, WhatTheServerRefusesIsToldWithARemedy) {
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

TEST_F(CliLoadRefusals, SourcesThatAreDatabasesSayWhatTheyCannotAnswer) {
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

TEST_F(CliLoadRefusals, MistakesAreTold) {
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
