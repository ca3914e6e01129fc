// What a load does not keep of values is told: digits of a second, what --schema discard leaves out. And what
// it keeps.
#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <sqlite3.h>

#include "cli_load_fixture.h"

namespace weir::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CliLoadLosses : public CliLoadFixture {
 protected:
  void sqlite(const std::string& sql) {
    sqlite3* made = nullptr;
    ASSERT_EQ(sqlite3_open((folder_.path() / "a.db").c_str(), &made), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(made, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(made);
    sqlite3_close(made);
  }
};

TEST_F(CliLoadLosses, DigitsOfASecondBeyondSixAreTold) {
  write("t.csv",
        "id,ts\n1,2026-01-01 10:00:00.123456789\n2,2026-01-01 10:00:00.1234560\n3,2026-01-01 "
        "10:00:00.0000004\n");
  for (const std::string mode : {"refresh", "append"}) {
    const json done = document({"t.csv", "--into", mode, "--mode", mode});
    EXPECT_EQ(done.at("rounded_values"), json({{"ts", 2}})) << done;
    ASSERT_EQ(done.at("notices").size(), 1U) << done;
    EXPECT_THAT(done.at("notices").at(0).get<std::string>(),
                AllOf(HasSubstr("ts: 2 values rounded to microseconds"), HasSubstr("line 2")));
    EXPECT_EQ(value("SELECT string_agg(to_char(ts, 'US'), ',' ORDER BY id) FROM " + mode),
              "123457,123456,000000");
    EXPECT_THAT(run({"show", done.at("run").get<std::string>()}).out, HasSubstr("ts 2"));
  }
  const WeirResult told = run({"t.csv", "--into", "refresh"});
  EXPECT_THAT(told.out, HasSubstr("notice: ts: 2 values rounded")) << told.err;
}

TEST_F(CliLoadLosses, UnderFreezeATimeThatWouldBeRoundedIsAReject) {
  execute("CREATE TABLE t (id int4, ts timestamptz)");
  write("t.csv", "id,ts\n1,2026-01-01 10:00:00.1234567Z\n2,2026-01-01 10:00:00.1234560Z\n");
  const WeirResult refused = run({"t.csv", "--into", "t", "--mode", "append", "--schema", "freeze"});
  EXPECT_EQ(refused.status, 5) << refused.out << refused.err;
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("line 2, column ts"), HasSubstr("more digits of a second than six")));
  EXPECT_EQ(value("SELECT count(*)::text FROM t"), "0");
  const json allowed =
      document({"t.csv", "--into", "t", "--mode", "append", "--schema", "freeze", "--max-rejects", "1"});
  EXPECT_EQ(allowed.at("rejected"), 1);
  EXPECT_EQ(allowed.at("rounded_values"), json::object());
}

TEST_F(CliLoadLosses, WhatDiscardLeavesOutIsCounted) {
  execute("CREATE TABLE t (id int4 PRIMARY KEY, n int4)");
  write("t.ndjson",
        "{\"id\":1,\"n\":1,\"x\":\"a\"}\n{\"id\":2,\"n\":\"none\",\"x\":null}\n{\"id\":3,\"n\":\"no\",\"x\":"
        "\"b\"}\n");
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--mode", "append"}, {"--mode", "refresh", "--key", "id"}}) {
    execute("TRUNCATE t");
    std::vector<std::string> all{"t.ndjson", "--into", "t", "--schema", "discard"};
    all.insert(all.end(), words.begin(), words.end());
    if (words.size() > 2) all.push_back("--allow-mass-delete");
    const json done = document(all);
    EXPECT_EQ(done.at("columns_left_out"), json({"x"}));
    EXPECT_EQ(done.at("discarded_values"), json({{"n", 2}, {"x", 2}})) << done;
    EXPECT_THAT(done.at("notices").dump(),
                AllOf(HasSubstr("n: 2 values left out (--schema discard), the first in t.ndjson, line 2"),
                      HasSubstr("x: 2 values left out (--schema discard), the first in t.ndjson, line 1")));
    const std::string number = done.at("run").get<std::string>();
    EXPECT_EQ(document({"show", number}).at("summary").at("discarded_values"), json({{"n", 2}, {"x", 2}}));
    EXPECT_THAT(run({"show", number}).out, HasSubstr("n 2, x 2"));
    EXPECT_EQ(value("SELECT string_agg(id || coalesce(n::text, '-'), ',' ORDER BY id) FROM t"), "11,2-,3-");
  }
}

TEST_F(CliLoadLosses, ALoadThatGoesOnCountsWhatWasLeftOutBefore) {
  execute("CREATE TABLE t (id int4 PRIMARY KEY, n int4)");
  execute("INSERT INTO t SELECT g FROM generate_series(1, 10) g");
  write("t.csv", "id,n\n1,none\n");
  // It is refused behind the stage.
  const std::vector<std::string> words{"t.csv", "--into", "t", "--key", "id", "--schema", "discard"};
  EXPECT_EQ(run(words).status, 5);
  execute("DELETE FROM t");
  const json done = document(words);
  EXPECT_EQ(done.at("resumed_from"), 1) << done;
  EXPECT_EQ(done.at("discarded_values"), json({{"n", 1}}));
}

TEST_F(CliLoadLosses, RealOfSqliteIsDoublePrecision) {
  sqlite(
      "CREATE TABLE r (id INTEGER PRIMARY KEY, said REAL, unsaid, count INT, exact NUMERIC, large);"
      "INSERT INTO r VALUES (1, 0.1, 1, 5, 0.1, 0.5), (2, 0.30000000000000004, 2.5, 0.1, 7, "
      "9007199254740993),"
      " (3, 0, 0, 0, 0, 1), (4, 5e-324, 1e300, 1.7976931348623157e308, NULL, 1)");
  for (const std::string from : {"r", "query"}) {
    std::vector<std::string> words{"a.db", "--into", from};
    if (from == "r")
      words.insert(words.end(), {"--table", "r"});
    else
      words.insert(words.end(),
                   {"--query", "SELECT id, said * 1 AS said, unsaid, count, exact, large FROM r"});
    document(words);
    EXPECT_EQ(
        value("SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY "
              "attnum) FROM pg_attribute WHERE attrelid = '" +
              from + "'::regclass AND attnum > 0"),
        "id bigint, said double precision, unsaid double precision, count double precision, exact numeric, "
        "large numeric");
    EXPECT_EQ(value("SELECT string_agg(said::text, ' ' ORDER BY id) FROM " + from),
              "0.1 0.30000000000000004 0 5e-324");
    EXPECT_EQ(value("SELECT string_agg(count::text, ' ' ORDER BY id) FROM " + from),
              "5 0.1 0 1.7976931348623157e+308");
    EXPECT_EQ(value("SELECT string_agg(large::text, ' ' ORDER BY id) FROM " + from),
              "0.5 9007199254740993 1 1");
  }
}

TEST_F(CliLoadLosses, NumbersThatDoublePrecisionKeepsStayInIt) {
  std::string lines = "{\"v\":1e5}\n";
  for (int n = 0; n < 30; ++n) lines += "{\"v\":0}\n{\"v\":0.1}\n{\"v\":7}\n";
  write("t.ndjson", lines);
  document({"t.ndjson", "--into", "t", "--sample", "1"});
  EXPECT_EQ(value("SELECT pg_typeof(v)::text FROM t LIMIT 1"), "double precision");
  write("u.ndjson", "{\"v\":1e5}\n{\"v\":9007199254740993}\n");
  document({"u.ndjson", "--into", "u", "--sample", "1"});
  EXPECT_EQ(value("SELECT max(v)::text FROM u"), "9007199254740993");
}

}  // namespace
}  // namespace weir::test
