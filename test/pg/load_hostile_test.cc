#include <fmt/format.h>

#include "load/write/care.h"
#include "load/write/run.h"
#include "load_shape_fixture.h"
#include "pg/transaction.h"

namespace weir::load {
namespace {

/// What others do to the table while it is loaded, and what sources can be that nobody means.
class LoadHostileTest : public LoadBesideTest {};

TEST_F(LoadHostileTest, AColumnMadeNarrowerMeanwhileRoundsNothing) {
  run("CREATE TABLE t (id int PRIMARY KEY, v numeric)");
  const LoadSpec spec{.mode = Mode::upsert, .columns = {"id", "v"}, .key = {"id"}};
  const Target t = target("t");
  const Stage::Sealed sealed = stage(t, spec, "VALUES (1, 1.5::numeric)");
  run("ALTER TABLE t ALTER COLUMN v TYPE int");
  const Error error = error_of([&] { apply(connect(), t, spec, sealed, std::nullopt, {}); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(error.what(), "another table now")) << error.what();
  EXPECT_EQ(number("SELECT count(*) FROM t"), 0);
}

TEST_F(LoadHostileTest, AColumnMadeWiderMeanwhileIsNoObstacle) {
  run("CREATE TABLE t (id int, v int); INSERT INTO t VALUES (1, 1), (2, NULL), (2, NULL)");
  LoadSpec keyless{.mode = Mode::refresh, .columns = {"id", "v"}};
  const Target t = target("t");
  const Stage::Sealed sealed = stage(t, keyless, "VALUES (1, 1), (2, NULL), (3, 3)");
  run("ALTER TABLE t ALTER COLUMN v TYPE bigint");
  const Applied applied = apply(connect(), t, keyless, sealed, std::nullopt, {});
  EXPECT_EQ(applied.unchanged, 2);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY 1, 2"), "1|1,2|,3|3");
}

TEST_F(LoadHostileTest, ADirectAppendLooksAtTheTableThatItHolds) {
  run("CREATE TABLE t (id int8, v int)");
  LoadOptions append = options(Mode::append);
  append.sample_rows = 1;
  // 8 bytes of a number would be taken for a time.
  const std::jthread other =
      another_load("t", "ALTER TABLE t ALTER COLUMN id TYPE timestamp USING 'epoch'::timestamp");
  const Error error = error_of([&] { load(csv("id,v\n5,5\n6,6\n7,7\n"), append); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_EQ(number("SELECT count(*) FROM t"), 0);
}

TEST_F(LoadHostileTest, ADirectAppendWaitsForAnotherLoadAsLongAsItMay) {
  run("CREATE TABLE t (id int, v int)");
  LoadOptions append = options(Mode::append);
  append.apply.lock_timeout = std::chrono::milliseconds(1);
  const std::jthread other = another_load("t", "SELECT 1");
  EXPECT_EQ(load(csv("id,v\n5,5\n"), append).applied->inserted, 1);
}

TEST_F(LoadHostileTest, AChangeOfTheTableWaitsForAnotherLoad) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  LoadOptions upsert = options(Mode::upsert);
  // It waits for the load before it lets go of the table: neither would end if the change came first.
  const std::jthread other =
      another_load("t", "INSERT INTO t VALUES (1, 1)", "LOCK TABLE t IN ROW EXCLUSIVE MODE");
  EXPECT_EQ(load(csv("id,v,more\n1,2,3\n"), upsert).applied->updated, 1);
  EXPECT_EQ(rows("SELECT * FROM t"), "1|2|3");
}

TEST_F(LoadHostileTest, AHistoryThatHadToWaitBeginsWhenItWrites) {
  run("CREATE TABLE h (id int, v text, valid_from timestamptz, valid_to timestamptz);"
      "INSERT INTO h VALUES (1, 'a', '2026-01-01', NULL)");
  const LoadSpec hist{.mode = Mode::scd2, .columns = {"id", "v"}, .key = {"id"}};
  const std::jthread other = another_load(
      "h",
      "UPDATE h SET valid_to = clock_timestamp(); INSERT INTO h VALUES (1, 'b', clock_timestamp(), NULL)");
  const Applied applied = load("h", hist, "VALUES (1, 'c')");
  EXPECT_EQ(applied.inserted, 1);
  EXPECT_EQ(rows("SELECT v FROM h ORDER BY valid_from"), "a,b,c");
  EXPECT_EQ(number("SELECT count(*) FROM h WHERE valid_to <= valid_from"), 0);
}

TEST_F(LoadHostileTest, AHistoryOfValuesWithoutEquality) {
  run("CREATE TABLE h (id int, j json, p point, x xml, v int, valid_from timestamptz, valid_to timestamptz);"
      "CREATE UNIQUE INDEX ON h (id) WHERE valid_to IS NULL");
  LoadSpec hist{.mode = Mode::scd2, .columns = {"id", "j", "p", "x", "v"}, .key = {"id"}};
  hist.history_at = "2026-01-01";
  const auto row = [](int id, const char* j, const char* p, const char* x, const char* v) {
    const auto value = [](const char* text) {
      return text == nullptr ? std::string("NULL") : fmt::format("'{}'", text);
    };
    return fmt::format("({}, {}::json, {}, {}, {}::int)", id, value(j), value(p), value(x), value(v));
  };
  const std::string first = "VALUES " + row(1, "{}", "(1,2)", "<a/>", "1") + "," +
                            row(2, nullptr, nullptr, nullptr, nullptr) + "," +
                            row(3, "[1]", "(3,4)", "<b/>", nullptr);
  EXPECT_EQ(load("h", hist, first).inserted, 3);
  hist.history_at = "2026-02-01";
  EXPECT_EQ(load("h", hist, first).unchanged, 3) << "NULL is NULL, and json is its text";
  const Applied changed =
      load("h", hist,
           "VALUES " + row(1, "{}", "(1,2)", nullptr, "1") + "," + row(2, nullptr, nullptr, nullptr, "0") +
               "," + row(3, "[1]", "(3,5)", "<b/>", nullptr));
  EXPECT_EQ(changed.closed, 3);
  EXPECT_EQ(changed.inserted, 3);
  EXPECT_EQ(rows("SELECT id, v, x IS NULL AS x FROM h WHERE valid_to IS NULL ORDER BY id"),
            "1|1|t,2|0|t,3||f");
}

TEST_F(LoadHostileTest, AHistoryCountsWhatItWroteBesideRejects) {
  run("CREATE TABLE h (id int, v int CHECK (v < 100), valid_from timestamptz, valid_to timestamptz)");
  LoadSpec hist{.mode = Mode::scd2, .columns = {"id", "v"}, .key = {"id"}};
  hist.rejects.rows = 5;
  hist.history_at = "2026-01-01";
  load("h", hist, "SELECT n, n FROM generate_series(1, 10) n");
  hist.history_at = "2026-02-01";
  const Applied applied = load("h", hist,
                               "SELECT n, CASE n WHEN 3 THEN 300 WHEN 4 THEN 44 WHEN 5 THEN 55 ELSE n END "
                               "FROM generate_series(1, 11) n");
  EXPECT_EQ(applied.rejected, 1);
  EXPECT_EQ(applied.closed, 2);
  EXPECT_EQ(applied.inserted, 3);
  EXPECT_EQ(rows("SELECT id, v FROM h WHERE valid_to IS NULL AND id IN (3, 4, 5, 11) ORDER BY id"),
            "3|3,4|44,5|55,11|11");
}

TEST_F(LoadHostileTest, TheNameOfATypeIsNoSql) {
  run(R"(CREATE DOMAIN "a$weir$; DROP TABLE t" AS inet; CREATE TABLE t (id int PRIMARY KEY, v "a$weir$; DROP TABLE t"))");
  LoadSpec spec{.mode = Mode::upsert, .columns = {"id", "v"}, .key = {"id"}};
  spec.rejects.rows = 1;
  EXPECT_EQ(load("t", spec, "VALUES (1, '10.0.0.1'), (2, 'none')").rejected, 1);
  EXPECT_EQ(rows("SELECT * FROM t"), "1|10.0.0.1");
}

TEST_F(LoadHostileTest, ATriggerThatSkipsRowsIsNamed) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2);"
      "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
      "CREATE TRIGGER skipping BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION skip()");
  const LoadSpec spec{.mode = Mode::upsert, .columns = {"id", "v"}, .key = {"id"}};
  ApplyOptions twice;
  twice.attempts = 2;
  const Error error = error_of([&] { load("t", spec, "VALUES (1, 10)", twice); });
  EXPECT_TRUE(has(error.what(), "skipping")) << error.what();
}

TEST_F(LoadHostileTest, CareThatHasToWaitFailsNoLoad) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  const Target t = target("t");
  pg::Session other = session();
  pg::Transaction transaction(other);
  other.execute("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE");
  pg::Session caring = session();
  caring.set_timeout(std::chrono::milliseconds(500));
  const CareReport report = take_care(caring, t, 100);
  EXPECT_FALSE(report.vacuumed);
  EXPECT_TRUE(has(report.skipped, "lock")) << report.skipped;
}

TEST_F(LoadHostileTest, MoreColumnsThanATableCanHaveAreRefusedAtOnce) {
  for (const int count : {1599, 10'000}) {
    std::string header = "id";
    std::string row = "1";
    for (int n = 1; n < count; ++n) {
      header += fmt::format(",c{}", n);
      row += ",1";
    }
    const Error error =
        error_of([&] { load(csv(header + "\n" + row + "\n" + row + "\n"), options(Mode::append)); });
    EXPECT_EQ(error.exit_code(), ExitCode::definition);
    EXPECT_TRUE(has(error.what(), fmt::format("{} columns", count))) << error.what();
  }
  EXPECT_EQ(columns(), "none");
  EXPECT_EQ(stages(), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_run"), 0);
}

TEST_F(LoadHostileTest, RejectsAreReadInPieces) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  std::string text = "id,v\n";
  for (int n = 1; n <= 1'000; ++n) text += fmt::format("{},none\n", n);
  LoadOptions lenient = options(Mode::append);
  lenient.spec.rejects.rows = 1'000;
  const std::int64_t run_id = load(csv(text), lenient).run;
  pg::Session session = this->session();
  std::int64_t seen = 0;
  std::int64_t last = 0;
  each_reject(session, run_id, [&](const RejectRow& row) {
    EXPECT_GT(row.line, last);
    last = row.line;
    // Others look: what this session holds of the answer is a part of it.
    if (++seen == 1) {
      EXPECT_EQ(number(fmt::format(
                    "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND state = 'idle in transaction'",
                    session.backend_pid())),
                1);
    }
  });
  EXPECT_EQ(seen, 1'000);
  EXPECT_FALSE(session.in_transaction());
}

}  // namespace
}  // namespace weir::load
