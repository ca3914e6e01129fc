#include <fmt/format.h>

#include "load/evolution.h"
#include "load/read/postgres_reader.h"
#include "load_shape_fixture.h"

namespace weir::load {
namespace {

TEST_F(LoadShapeTest, AWiderValueBehindTheSampleWidensTheTableThatIsMade) {
  const LoadReport report =
      load(csv("id,v,d\n1,1,2026-01-01\n2,2,2026-01-02\n3,9223372036854775808,\n4,1.50,2026-01-03 04:05\n"
               "5,nan,\n6,word,\n7,,\n"),
           options(Mode::refresh));
  EXPECT_EQ(columns(), "id bigint, v text, d timestamp without time zone");
  EXPECT_EQ(rows("SELECT id, v FROM t ORDER BY id"), "1|1,2|2,3|9223372036854775808,4|1.50,5|NaN,6|word,7|");
  EXPECT_EQ(rows("SELECT id FROM t WHERE d = '2026-01-01' OR d = '2026-01-03 04:05' ORDER BY id"), "1,4");
  EXPECT_TRUE(report.created);
  EXPECT_TRUE(has(report.created_sql, "\"v\" text")) << report.created_sql;
  EXPECT_EQ(report.applied->inserted, 7);
  EXPECT_EQ(stages(), 0) << "the stage of a table that was not there is dropped";
  EXPECT_EQ(rows("SELECT target, state FROM weir.load_run"), "t|applied");
}

TEST_F(LoadShapeTest, WhatATypeWouldTakeButNotKeepWidensItToo) {
  load(csv("id,code,d,at,f,b\n1,12,2026-01-01,2026-01-01 00:00:00,1e3,t\n"
           "2,13,2026-01-02,2026-01-02 00:00:00,1e4,f\n"
           "3,007,2026-01-02 10:00,2026-01-02 00:00:00+02,0.1234567890123456789,yes\n"),
       options(Mode::refresh));
  EXPECT_EQ(columns(), "id bigint, code text, d timestamp without time zone, at text, f numeric, b text");
  EXPECT_EQ(rows("SELECT code, d::time, f FROM t WHERE id = 3"), "007|10:00:00|0.1234567890123456789");
  // What the user made takes what PostgreSQL takes.
  run("CREATE TABLE there (id int PRIMARY KEY, code int, d date)");
  LoadOptions into = options(Mode::refresh);
  into.target = "there";
  load(csv("id,code,d\n1,12,2026-01-01\n2,13,2026-01-01\n3,007,2026-01-02 10:00\n"), into);
  EXPECT_EQ(rows("SELECT code, d FROM there WHERE id = 3"), "7|2026-01-02");
}

TEST_F(LoadShapeTest, ATypeThatWasSaidStays) {
  LoadOptions said = options(Mode::refresh);
  said.columns = {{"v", "int4"}};
  const Error error = error_of([&] { load(csv("id,v\n1,1\n2,2\n3,3000000000\n"), said); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_EQ(columns(), "none");
}

TEST_F(LoadShapeTest, ALargeTableIsNotWrittenAnewForAWiderType) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int, pad text); ALTER TABLE t ALTER pad SET STORAGE EXTERNAL;"
      "INSERT INTO t SELECT n, n, repeat('x', 1000000) FROM generate_series(1, 66) n");
  LoadOptions into = options(Mode::upsert);
  EXPECT_EQ(error_of([&] { load(csv("id,v\n1,1\n2,3000000000\n"), into); }).exit_code(), ExitCode::refused);
  EXPECT_EQ(columns(), "id integer, v integer, pad text");
  run("UPDATE t SET pad = '' WHERE id <= 2; DELETE FROM t WHERE id > 2");
  run("VACUUM FULL t");
  load(csv("id,v\n1,1\n2,3000000000\n"), into);
  EXPECT_EQ(columns(), "id integer, v bigint, pad text");
}

TEST_F(LoadShapeTest, ATableThatIsThereGetsTheWiderTypeOnce) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int, x real, n varchar(3)); INSERT INTO t VALUES (1, 7, 0.1, "
      "'a')");
  const LoadReport report =
      load(csv("id,v,x,n\n1,7,0.1,a\n2,2,0.2,b\n3,3000000000,1e300,c\n4,0.1,2,d\n5,5,0.3,four\n"),
           options(Mode::refresh));
  EXPECT_EQ(columns(), "id integer, v numeric, x double precision, n text");
  EXPECT_EQ(report.applied->unchanged, 1) << "what was there is what it was";
  EXPECT_EQ(rows("SELECT id, v, x, n FROM t WHERE id > 1 ORDER BY id"),
            "2|2|0.2|b,3|3000000000|1e+300|c,4|0.1|2|d,5|5|0.3|four");
  ASSERT_EQ(report.drift.widened.size(), 3U);
}

TEST_F(LoadShapeTest, OneBadValueMakesNoTextsOfAColumnThatIsThere) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  LoadOptions lenient = options(Mode::refresh);
  lenient.spec.rejects.rows = 1;
  const LoadReport report = load(csv("id,v\n1,1\n2,2\n3,word\n4,3000000000\n"), lenient);
  EXPECT_EQ(columns(), "id integer, v bigint");
  EXPECT_EQ(report.rejected, 1U);
  EXPECT_EQ(rows("SELECT line, column_name FROM weir.load_reject"), "4|v");
}

TEST_F(LoadShapeTest, WhatAnotherThingDependsOnKeepsItsType) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int, w int); CREATE VIEW shown AS SELECT v FROM t;"
      "CREATE TABLE p (id int, v int, w int) PARTITION BY RANGE (v); "
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)");
  for (const std::string table : {"t", "p"}) {
    LoadOptions lenient = options(Mode::append);
    lenient.staged = true;
    lenient.target = table;
    lenient.spec.rejects.rows = 1;
    const LoadReport report = load(csv("id,v,w\n1,1,1\n2,2,2\n3,3000000000,3\n4,4,3000000000\n"), lenient);
    EXPECT_EQ(report.rejected, 1U);
    EXPECT_EQ(columns(table), "id integer, v integer, w bigint");
  }
}

TEST_F(LoadShapeTest, AColumnBehindTheSampleIsAdded) {
  const std::string text =
      "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3, \"late\": null}\n{\"id\": 4, \"late\": 4}\n"
      "{\"id\": 5, \"late\": 5.5, \"Second one\": {\"a\": 1}}\n{\"id\": 6}\n";
  EXPECT_EQ(load(json(text), options(Mode::refresh)).rejected, 0U);
  EXPECT_EQ(columns(), "id bigint, late numeric, Second one jsonb");
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), R"(1||,2||,3||,4|4|,5|5.5|"{""a"": 1}",6||)");
  run("CREATE TABLE there (id int PRIMARY KEY, second_one jsonb)");
  LoadOptions into = options(Mode::refresh);
  into.target = "there";
  const LoadReport report = load(json(text), into);
  EXPECT_EQ(columns("there"), "id integer, second_one jsonb, late numeric");
  ASSERT_EQ(report.drift.added.size(), 1U) << "what the table has is not added";
  EXPECT_EQ(report.applied->inserted, 6);
  EXPECT_EQ(load(json(text), into).applied->unchanged, 6);
}

TEST_F(LoadShapeTest, TheContractAlsoHoldsForColumnsBehindTheSample) {
  const std::string text =
      "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3, \"known\": 3}\n{\"id\": 4, \"late\": 4}\n"
      "{\"id\": 5, \"known\": \"five\"}\n{\"id\": 6, \"late\": null}\n";
  run("CREATE TABLE t (id int PRIMARY KEY, known int)");
  const Error frozen = error_of([&] { load(json(text), options(Mode::refresh, Contract::freeze)); });
  EXPECT_EQ(frozen.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(frozen.what(), "has no column for: late")) << frozen.what();
  EXPECT_EQ(number("SELECT count(*) FROM t"), 0);

  load(json(text), options(Mode::refresh, Contract::discard));
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|,2|,3|3,4|,5|,6|");

  run("TRUNCATE t");
  LoadOptions quarantine = options(Mode::refresh, Contract::quarantine);
  quarantine.spec.rejects.rows = 2;
  EXPECT_EQ(load(json(text), quarantine).rejected, 2U);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|,2|,3|3,6|");
  EXPECT_EQ(columns(), "id integer, known integer");
}

TEST_F(LoadShapeTest, AGuardThatRefusesLeavesTheColumnsAsTheyWere) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 20) n");
  const std::string half =
      "{\"id\": 1, \"v\": 1}\n{\"id\": 2, \"v\": 2}\n{\"id\": 3, \"v\": 3000000000}\n"
      "{\"id\": 4, \"late\": 1}\n{\"id\": 50}\n";
  for (const bool by_key : {true, false}) {
    LoadOptions refresh = options(Mode::refresh);
    if (!by_key) refresh.spec.key.clear();
    const Error mass = error_of([&] { load(json(half), refresh); });
    EXPECT_EQ(mass.exit_code(), ExitCode::refused);
    EXPECT_TRUE(has(mass.what(), by_key ? "delete 16 of 20" : "delete 15 of 20")) << mass.what();
  }
  EXPECT_EQ(error_of([&] { load(csv("id,v,more\n"), options(Mode::refresh)); }).exit_code(),
            ExitCode::refused);
  EXPECT_EQ(columns(), "id integer, v integer");
  LoadOptions allowed = options(Mode::refresh);
  allowed.spec.guard.allow_mass_delete = true;
  EXPECT_EQ(load(json(half), allowed).applied->deleted, 16);
  EXPECT_EQ(columns(), "id integer, v bigint, late bigint");
}

TEST_F(LoadShapeTest, ALoadThatComesToNothingLeavesNoTable) {
  // Refused before the table is made: no rows; too many rejects; more after it is made: a key without a
  // value.
  EXPECT_EQ(error_of([&] { load(csv("id,v\n"), options(Mode::refresh)); }).exit_code(), ExitCode::refused);
  EXPECT_EQ(error_of([&] { load(csv("id,v\n1,1\n2,2\n3,3,3\n"), options(Mode::refresh)); }).exit_code(),
            ExitCode::refused);
  const Error null_key = error_of([&] { load(csv("id,v\n1,1\n2,2\n,3\n"), options(Mode::refresh)); });
  EXPECT_TRUE(has(null_key.what(), "null, which the column does not allow")) << null_key.what();
  EXPECT_EQ(columns(), "none");
  LoadOptions unknown = options(Mode::refresh);
  unknown.target = "nowhere.t";
  const Error schema = error_of([&] { load(csv("id\n1\n"), unknown); });
  EXPECT_TRUE(has(schema.what(), "there is no schema nowhere")) << schema.what();
  EXPECT_EQ(rows("SELECT DISTINCT state FROM weir.load_run"), "failed");
}

TEST_F(LoadShapeTest, TheChangesOfAStageAreBounded) {
  constexpr int kColumns = 70;
  const auto wide = [](const std::string& common, const std::string& odd) {
    std::string text = "id";
    for (int c = 0; c < kColumns; ++c) text += fmt::format(",c{}", c);
    for (int r = -2; r < kColumns; ++r) {
      text += fmt::format("\n{}", r);
      for (int c = 0; c < kColumns; ++c) text += "," + (c == r ? odd : common);
    }
    return text + "\n";
  };
  std::string there = "CREATE TABLE there (id int PRIMARY KEY";
  for (int c = 0; c < kColumns; ++c) there += fmt::format(", c{} int", c);
  run(there + ")");
  LoadOptions into = options(Mode::refresh);
  into.target = "there";
  into.spec.rejects.rows = 10;
  into.sample_rows = 1;
  const LoadReport report = load(csv(wide("1", "3000000000")), into);
  EXPECT_EQ(report.drift.widened.size(), std::size_t{Evolution::kMostChanges});
  EXPECT_EQ(report.rejected, std::uint64_t{kColumns - Evolution::kMostChanges});

  LoadOptions made = options(Mode::refresh);
  made.spec.rejects.rows = 10;
  made.sample_rows = 1;
  load(csv(wide("1", "1.5")), made);
  EXPECT_EQ(rows("SELECT format_type(atttypid, atttypmod), count(*) FROM pg_attribute WHERE attrelid = "
                 "'t'::regclass AND attname LIKE 'c%' AND attnum > 0 GROUP BY 1 ORDER BY 2, 1"),
            "bigint|6,numeric|8,text|56");
}

TEST_F(LoadShapeTest, TypesOfASourceThatHasThemAreKept) {
  load(std::make_unique<PostgresReader>(session(),
                                        "SELECT 1::int2 AS id, 'x'::varchar(7) AS b, '10.0.0.1'::inet AS c, "
                                        "NULL::date AS d, 1.5::numeric(9, 2) AS e, "
                                        "'[1]'::json AS f, NULL::oidvector AS g, NULL::weir.load_run AS h"),
       options(Mode::refresh));
  EXPECT_EQ(
      columns(),
      "id smallint, b character varying(7), c inet, d date, e numeric(9,2), f json, g oidvector, h text");
}

TEST_F(LoadShapeTest, StringsOfJsonStayStringsInJsonb) {
  const std::string text =
      "{\"id\": 1, \"j\": \"5\"}\n{\"id\": 2, \"j\": \"a \\\"b\\\"\"}\n"
      "{\"id\": 3, \"j\": \"6\"}\n{\"id\": 4, \"j\": 7}\n{\"id\": 5, \"j\": null}\n";
  run("CREATE TABLE t (id int PRIMARY KEY, j jsonb)");
  load(json(text), options(Mode::refresh));
  EXPECT_EQ(rows("SELECT id, jsonb_typeof(j) FROM t ORDER BY id"), "1|string,2|string,3|string,4|number,5|");
  run("CREATE TABLE c (id int PRIMARY KEY, j jsonb)");
  LoadOptions separated = options(Mode::refresh);
  separated.target = "c";
  load(csv("id,j\n1,5\n2,\"\"\"a\"\"\"\n"), separated);
  EXPECT_EQ(rows("SELECT id, jsonb_typeof(j) FROM c ORDER BY id"), "1|number,2|string");
}

}  // namespace
}  // namespace weir::load
