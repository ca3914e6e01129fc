#include <gtest/gtest.h>
#include <fmt/format.h>

#include "load/write/load_sql.h"
#include "support/errors.h"
#include "support/load_test.h"

namespace weir::load {
namespace {

using test::error_of;
using test::has;

class LoadModesTest : public test::LoadTest {
 protected:
  void SetUp() override {
    LoadTest::SetUp();
    run("CREATE TABLE rate (id int PRIMARY KEY, pair text, price numeric, note json);"
        "INSERT INTO rate SELECT n, 'p' || n, n, NULL FROM generate_series(1, 10) n");
  }
  static LoadSpec spec(Mode mode) {
    return {.mode = mode, .columns = {"id", "pair", "price"}, .key = {"id"}};
  }
};

TEST_F(LoadModesTest, RefreshWritesOnlyWhatDiffers) {
  const Applied applied =
      load("rate", spec(Mode::refresh),
           "SELECT n, 'p' || n, CASE n WHEN 3 THEN 33::numeric ELSE n END FROM generate_series(2, 11) n");
  EXPECT_EQ(applied.deleted, 1);
  EXPECT_EQ(applied.updated, 1);
  EXPECT_EQ(applied.inserted, 1);
  EXPECT_EQ(applied.unchanged, 8);
  EXPECT_EQ(applied.rows_before, 10);
  EXPECT_EQ(applied.strongest_lock, LockMode::row_exclusive);
  EXPECT_GT(applied.wal_bytes, 0);
  EXPECT_EQ(rows("SELECT id, price FROM rate ORDER BY id"), "2|2,3|33,4|4,5|5,6|6,7|7,8|8,9|9,10|10,11|11");
  // What did not change was not written: its row version is the old one.
  EXPECT_EQ(number("SELECT count(DISTINCT xmin::text) FROM rate WHERE id IN (2, 4, 5, 6, 7, 8, 9, 10)"), 1);
  EXPECT_EQ(rows("SELECT state FROM weir.load_run"), "applied");
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_run WHERE (summary->>'wal_bytes')::int8 > 0"), 1)
      << "the history knows what it cost";
}

TEST_F(LoadModesTest, RefreshOfTheSameRowsWritesNothing) {
  const Applied applied =
      load("rate", spec(Mode::refresh), "SELECT n, 'p' || n, n::numeric FROM generate_series(1, 10) n");
  EXPECT_EQ(applied.unchanged, 10);
  EXPECT_EQ(applied.dead_rows + applied.inserted, 0);
}

TEST_F(LoadModesTest, WhatATypeCallsEqualIsWrittenAsTheSourceHasIt) {
  run("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
  struct Alike {
    const char* type;
    const char* sent;  // the type of the stage
    const char* old;
    const char* now;
    int updated = 1;
  };
  for (const Alike& alike : std::initializer_list<Alike>{
           {"text COLLATE blind", "text", "abc", "ABC"},
           {"numeric", "numeric", "1.0", "1.00"},
           {"numeric", "numeric", "NaN", "NaN", 0},
           {"numeric(8,2)", "numeric(8,2)", "1.5", "1.50", 0},
           {"float8", "float8", "0", "-0"},
           {"float4", "float4", "-0", "0"},
           {"float8", "float8", "NaN", "NaN", 0},
           {"float8", "float8", "0.1", "0.10", 0},
           {"interval", "text", "1 mon", "30 days"},
           {"jsonb", "jsonb", R"({"a": 1.0})", R"({"a": 1.00})"},
           {"json", "json", "[1]", "[1 ]"},
           {"point", "text", "(0,1)", "(-0,1)"},
           {"numeric[]", "text", "{1.0}", "{1.00}"},
           {"char(3)", "char(3)", "a", "a ", 0},
           {"varchar(9)", "varchar", "a", "a", 0},
       }) {
    for (const bool among_others : {false, true}) {
      for (const Mode mode : {Mode::refresh, Mode::upsert, Mode::scd2}) {
        if (among_others && mode != Mode::refresh) continue;
        SCOPED_TRACE(fmt::format("{} {} {} {}", alike.type, alike.now, to_string(mode), among_others));
        run("DROP TABLE IF EXISTS alike; CREATE TABLE alike (id int" +
            std::string(mode == Mode::scd2 ? "" : " PRIMARY KEY") + ", v " + alike.type +
            ", j jsonb, valid_from timestamptz, valid_to timestamptz)");
        LoadSpec into{.mode = mode, .columns = {"id", "v"}, .key = {"id"}};
        if (among_others) into.columns.emplace_back("j");
        const auto source = [&](const char* value) {
          const std::string other = among_others ? ", '{}'::jsonb" : "";
          return fmt::format("VALUES (1, '{0}'::{1}{2}), (2, NULL::{1}{2})", value, alike.sent, other);
        };
        load("alike", into, source(alike.old));
        const Applied applied = load("alike", into, source(alike.now));
        if (mode == Mode::scd2) {  // of json and point what is compared is the text
          const bool by_text = std::string(alike.type) == "json" || std::string(alike.type) == "point";
          EXPECT_EQ(applied.unchanged, by_text ? 1 : 2);
          continue;
        }
        const int updated = alike.updated;
        EXPECT_EQ(applied.updated, updated);
        EXPECT_EQ(applied.unchanged, 2 - updated);
        EXPECT_EQ(rows("SELECT 1 FROM alike WHERE id = 1 AND v::text = ('" + std::string(alike.now) +
                       "'::" + std::string(alike.type).substr(0, std::string(alike.type).find(" COLLATE")) +
                       ")::text"),
                  "1");
        EXPECT_EQ(load("alike", into, source(alike.now)).unchanged, 2) << "it is what the source has";
      }
    }
  }
}

TEST_F(LoadModesTest, AnEmptySourceAndMassDeletesAreRefused) {
  const Error empty =
      error_of([&] { load("rate", spec(Mode::refresh), "SELECT 1, ''::text, 1::numeric WHERE false"); });
  EXPECT_EQ(empty.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(empty.what(), "no rows")) << empty.what();
  const Error mass = error_of(
      [&] { load("rate", spec(Mode::refresh), "SELECT n, 'p', 1::numeric FROM generate_series(4, 20) n"); });
  EXPECT_EQ(mass.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(mass.what(), "delete 3 of 10")) << mass.what();
  EXPECT_EQ(number("SELECT count(*) FROM rate"), 10);
  LoadSpec allowed = spec(Mode::refresh);
  allowed.guard.allow_mass_delete = true;
  EXPECT_EQ(load("rate", allowed, "SELECT n, 'p', 1::numeric FROM generate_series(4, 20) n").deleted, 3);
  allowed.guard.allow_empty = true;
  EXPECT_EQ(load("rate", allowed, "SELECT 1, ''::text, 1::numeric WHERE false").deleted, 17);
}

TEST_F(LoadModesTest, UpsertKeepsWhatTheSourceHasNot) {
  const Applied applied =
      load("rate", spec(Mode::upsert), "VALUES (1, 'p1', 1::numeric), (2, 'new', 2), (99, 'x', 9)");
  EXPECT_EQ(applied.inserted, 1);
  EXPECT_EQ(applied.updated, 1);
  EXPECT_EQ(applied.unchanged, 1);
  EXPECT_EQ(number("SELECT count(*) FROM rate"), 11);
  EXPECT_EQ(rows("SELECT pair FROM rate WHERE id IN (1, 2, 99) ORDER BY id"), "p1,new,x");
}

TEST_F(LoadModesTest, TheLastRecordOfAKeyCounts) {
  const Applied applied =
      load("rate", spec(Mode::upsert), "VALUES (50, 'first', 1::numeric), (51, 'x', 2), (50, 'last', 3)");
  EXPECT_EQ(applied.duplicates, 1);
  EXPECT_EQ(applied.inserted, 2);
  EXPECT_EQ(rows("SELECT pair FROM rate WHERE id = 50"), "last");
}

TEST_F(LoadModesTest, AppendAddsAll) {
  const Applied applied = load("rate", spec(Mode::append), "VALUES (50, 'a', 1::numeric), (51, 'b', 2)");
  EXPECT_EQ(applied.inserted, 2);
  EXPECT_EQ(number("SELECT count(*) FROM rate"), 12);
}

TEST_F(LoadModesTest, AWindowReplacesItsSliceOnly) {
  LoadSpec window = spec(Mode::window);
  window.window = {"price", "3", "6"};
  window.guard.allow_mass_delete = true;
  const Applied applied = load("rate", window, "VALUES (3, 'p3', 3::numeric), (20, 'x', 5.5)");
  EXPECT_EQ(applied.deleted, 2);
  EXPECT_EQ(applied.inserted, 1);
  EXPECT_EQ(applied.rows_before, 3);
  EXPECT_EQ(rows("SELECT id FROM rate ORDER BY id"), "1,2,3,6,7,8,9,10,20");
  const Error outside = error_of([&] { load("rate", window, "VALUES (3, 'p3', 3::numeric), (21, 'x', 6)"); });
  EXPECT_TRUE(has(outside.what(), "outside of the window")) << outside.what();
}

TEST_F(LoadModesTest, WithoutAKeyWholeRowsAreCompared) {
  run("CREATE TABLE bag (a int, b json); INSERT INTO bag VALUES (1, '{}'), (1, '{}'), (2, NULL), (NULL, "
      "NULL), (3, '[1]')");
  LoadSpec bag{.mode = Mode::refresh, .columns = {"a", "b"}};
  bag.guard.allow_mass_delete = true;
  const Applied applied =
      load("bag", bag, "VALUES (1, '{}'::json), (2, NULL), (NULL, NULL), (NULL, NULL), (3, '[2]')");
  EXPECT_EQ(applied.unchanged, 3);
  EXPECT_EQ(applied.deleted, 2);
  EXPECT_EQ(applied.inserted, 2);
  EXPECT_EQ(rows("SELECT a, b::text FROM bag ORDER BY a, b::text"), "1|{},2|,3|[2],|,|");
}

TEST_F(LoadModesTest, AKeyMayBeNull) {
  run("CREATE TABLE part (k int, l text, v int, UNIQUE (k, l)); INSERT INTO part VALUES (1, NULL, 1), (NULL, "
      "'b', 2), (NULL, NULL, 3)");
  LoadSpec part{.mode = Mode::refresh, .columns = {"k", "l", "v"}, .key = {"k", "l"}};
  part.guard.allow_mass_delete = true;
  const Applied applied = load("part", part, "VALUES (1, NULL::text, 10), (NULL, 'b', 2), (2, 'c', 4)");
  EXPECT_EQ(applied.updated, 1);
  EXPECT_EQ(applied.unchanged, 1);
  EXPECT_EQ(applied.deleted, 1);
  EXPECT_EQ(applied.inserted, 1);
  EXPECT_EQ(rows("SELECT k, l, v FROM part ORDER BY v"), "|b|2,2|c|4,1||10");
}

TEST_F(LoadModesTest, OddNamesAndTypesOfTheServer) {
  run(R"(CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE TABLE "Odd "" table" ("weir_n" int PRIMARY KEY, "select" inet, "C0" point, m mood, x xml))");
  LoadSpec odd{.mode = Mode::refresh, .columns = {"weir_n", "select", "C0", "m"}, .key = {"weir_n"}};
  load(R"("Odd "" table")", odd, "VALUES (1, '10.0.0.1', '(1,2)', 'ok'), (2, NULL, '(3,4)', 'bad')");
  const Applied again =
      load(R"("Odd "" table")", odd, "VALUES (1, '10.0.0.1/32', '(1,2)', 'ok'), (2, NULL, '(3,5)', 'bad')");
  EXPECT_EQ(again.unchanged, 1);
  EXPECT_EQ(again.updated, 1);
  const Error bad =
      error_of([&] { load(R"("Odd "" table")", odd, "VALUES (1, '10.0.0.1', '(1,2)', 'okay')"); });
  EXPECT_TRUE(has(bad.what(), "line 1, column m: invalid input value")) << bad.what();
}

TEST_F(LoadModesTest, HistoryClosesAndOpensVersions) {
  run("CREATE TABLE hist (id int, v text, valid_from timestamptz, valid_to timestamptz, is_current bool)");
  LoadSpec hist{.mode = Mode::scd2, .columns = {"id", "v"}, .key = {"id"}};
  hist.guard.allow_mass_delete = true;
  hist.history_at = "2026-01-01";
  EXPECT_EQ(load("hist", hist, "VALUES (1, 'a'), (2, 'b'), (3, 'c')").inserted, 3);
  hist.history_at = "2026-02-01";
  const Applied second = load("hist", hist, "VALUES (1, 'a'), (2, 'B'), (4, 'd')");
  EXPECT_EQ(second.closed, 2);
  EXPECT_EQ(second.inserted, 2);
  EXPECT_EQ(second.unchanged, 1);
  EXPECT_EQ(rows("SELECT id, v, valid_from::date, valid_to::date, is_current FROM hist ORDER BY 1, 3"),
            "1|a|2026-01-01||t,2|b|2026-01-01|2026-02-01|f,2|B|2026-02-01||t,3|c|2026-01-01|2026-02-01|f,4|d|"
            "2026-02-01||t");
  const Error backward = error_of([&] { load("hist", hist, "VALUES (1, 'a'), (2, 'b2'), (4, 'd')"); });
  EXPECT_TRUE(has(backward.what(), "begin at or after")) << backward.what();
}

TEST_F(LoadModesTest, APartitionedTableIsRefreshed) {
  run("CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); CREATE TABLE p2 PARTITION OF p FOR "
      "VALUES FROM (100) TO (200);"
      "INSERT INTO p VALUES (1, 'a'), (2, 'b'), (101, 'c'), (102, 'd'), (103, 'e'), (104, 'f')");
  const LoadSpec p{.mode = Mode::refresh, .columns = {"id", "v"}, .key = {"id"}};
  const Applied applied =
      load("p", p, "VALUES (1, 'A'), (2, 'b'), (101, 'C'), (102, 'd'), (103, 'e'), (105, 'g')");
  EXPECT_EQ(applied.deleted, 1);
  EXPECT_EQ(rows("SELECT * FROM p ORDER BY 1"), "1|A,2|b,101|C,102|d,103|e,105|g");
}

TEST_F(LoadModesTest, WhatIsRefusedIsSaidWithItsRemedy) {
  const auto refusal = [&](const LoadSpec& spec, const std::string& table) {
    const Plan plan = make_plan(target(table), spec, {.sql = "stage"}, 150000);
    return plan.refusals.empty() ? std::string() : plan.refusals.front().reason;
  };
  run("CREATE TABLE nokey (id int, v text); CREATE TABLE gen (id int PRIMARY KEY, d int GENERATED ALWAYS AS "
      "(id * 2) STORED);"
      "CREATE VIEW v AS SELECT * FROM nokey; CREATE TABLE must (id int PRIMARY KEY, m int NOT NULL)");
  EXPECT_TRUE(has(refusal({.columns = {"id", "v"}, .key = {"id"}}, "nokey"), "no unique index"));
  EXPECT_TRUE(has(refusal({.mode = Mode::upsert, .columns = {"id", "v"}}, "nokey"), "needs a key"));
  EXPECT_TRUE(has(refusal({.columns = {"id", "d"}, .key = {"id"}}, "gen"), "computes"));
  EXPECT_TRUE(has(refusal({.columns = {"id"}, .key = {"id"}}, "must"), "must not be null"));
  EXPECT_TRUE(has(refusal({.columns = {"id", "v"}}, "v"), "is no table"));
  EXPECT_EQ(refusal({.columns = {"id", "v"}}, "nokey"), "");
  EXPECT_EQ(make_plan(target("rate"), spec(Mode::refresh), {.sql = "stage"}, 150000).strongest("rate"),
            LockMode::row_exclusive);
}

TEST_F(LoadModesTest, ARunIsAppliedOnce) {
  const Target rate = target("rate");
  const LoadSpec append = spec(Mode::append);
  const Stage::Sealed sealed = stage(rate, append, "VALUES (50, 'a', 1::numeric)");
  apply(connect(), rate, append, sealed, std::nullopt, {});
  EXPECT_EQ(error_of([&] {
              apply(connect(), rate, {.mode = Mode::upsert, .columns = append.columns, .key = {"id"}}, sealed,
                    std::nullopt, {});
            }).exit_code(),
            ExitCode::refused);
  EXPECT_EQ(number("SELECT count(*) FROM rate"), 11);
}

}  // namespace
}  // namespace weir::load
