#include <gtest/gtest.h>
#include <fmt/format.h>

#include "load/read/postgres_reader.h"
#include "support/database.h"
#include "support/waiting.h"

namespace weir::load {
namespace {

using Lines = std::vector<std::string>;

std::string show(const Record& record) {
  std::string out;
  if (!record.malformed.empty()) return fmt::format("{} {}", record.line, record.malformed);
  for (const Cell& cell : record.cells) {
    if (!out.empty()) out += ' ';
    switch (cell.kind) {
      case Cell::Kind::null: out += "null"; break;
      case Cell::Kind::text: out += fmt::format("'{}'", cell.text); break;
      case Cell::Kind::json: out += fmt::format("<{}>", cell.text); break;
      case Cell::Kind::bytes: out += fmt::format("bytes:{}", cell.text); break;
      default: out += cell.text;
    }
  }
  return out;
}

class LoadPostgresReader : public test::PgTest {
 protected:
  Lines read(const std::string& query) {
    PostgresReader reader(session(), query);
    Lines out;
    while (const auto record = reader.next()) out.push_back(show(*record));
    EXPECT_FALSE(reader.next());
    return out;
  }
};

TEST_F(LoadPostgresReader, ValuesOfEveryKind) {
  EXPECT_EQ(read("SELECT true AS t, false AS f, 32767::int2 AS s, -2147483648 AS i, 9223372036854775807 AS b,"
                 " 123456789012345678901234567890.50 AS n, 'NaN'::numeric AS nan, 0.1::float8 AS d, "
                 "'-Infinity'::float4 AS inf"),
            (Lines{"true false 32767 -2147483648 9223372036854775807 123456789012345678901234567890.50 'NaN' "
                   "0.1 '-Infinity'"}));
  EXPECT_EQ(read(R"(SELECT E'tab\t line\n \\ quote" ž' AS t, '' AS e, '\N' AS n, NULL::text AS z)"),
            (Lines{"'tab\t line\n \\ quote\" ž' '' '\\N' null"}));
  EXPECT_EQ(
      read(
          R"(SELECT '{"a": [1, "x\\n"]}'::jsonb AS j, '[1]'::json AS k, '"s"'::jsonb AS s, '\x776569'::bytea AS b,
                 ''::bytea AS e)"),
      (Lines{R"(<{"a": [1, "x\\n"]}> <[1]> <"s"> bytes:wei bytes:)"}));
  EXPECT_EQ(read("SELECT date '2026-02-03' AS d, timestamp '2026-02-03 04:05:06.789' AS t,"
                 " timestamptz '2026-02-03 04:05:06+02' AS z, interval '1 day 2 hours' AS i, ARRAY[1,2] AS a,"
                 " '127.0.0.1'::inet AS n"),
            (Lines{"'2026-02-03' '2026-02-03 04:05:06.789' '2026-02-03 02:05:06+00' '1 day 02:00:00' '{1,2}' "
                   "'127.0.0.1'"}));
}

TEST_F(LoadPostgresReader, SettingsOfTheSourceDoNotShow) {
  session().execute(fmt::format("ALTER DATABASE \"{}\" SET DateStyle = 'SQL, DMY'", database()));
  session().execute(fmt::format("ALTER DATABASE \"{}\" SET bytea_output = 'escape'", database()));
  session().execute(fmt::format("ALTER DATABASE \"{}\" SET extra_float_digits = -10", database()));
  session().execute(fmt::format("ALTER DATABASE \"{}\" SET TimeZone = 'Asia/Tokyo'", database()));
  EXPECT_EQ(
      read("SELECT date '2026-02-03' AS d, '\\x00ff'::bytea AS b, 0.1::float8 + 0.2 AS f,"
           " timestamptz '2026-02-03 04:05:06+02' AS z"),
      (Lines{std::string("'2026-02-03' bytes:\0\xff 0.30000000000000004 '2026-02-03 02:05:06+00'", 66)}));
}

TEST_F(LoadPostgresReader, TypesAreHints) {
  session().execute("CREATE DOMAIN small AS int4 CHECK (VALUE < 10)");
  session().execute(
      "CREATE TABLE \"Odd t\" (a int8, \"B c\" varchar(20), n numeric(10,2), s small, t timestamptz, r "
      "int4range)");
  PostgresReader reader(session(), PostgresReader::query_of_table("\"Odd t\""));
  Lines hints;
  for (std::size_t i = 0; i < reader.columns().size(); ++i)
    hints.push_back(reader.columns()[i] + ' ' + reader.hint(i)->sql);
  EXPECT_EQ(hints, (Lines{"a bigint", "B c character varying(20)", "n numeric(10,2)", "s integer",
                          "t timestamp with time zone", "r int4range"}));
  EXPECT_EQ(reader.hint(1)->base, Base::varchar);
  EXPECT_EQ(reader.hint(1)->modifier, 24);
  EXPECT_EQ(reader.hint(3)->base, Base::int4) << "of a domain the server names what is behind it";
  EXPECT_FALSE(reader.next());
}

TEST_F(LoadPostgresReader, QueriesAsPeopleWriteThem) {
  session().execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 3) n");
  EXPECT_EQ(read("TABLE t;"), (Lines{"1", "2", "3"}));
  EXPECT_EQ(read("WITH x AS (SELECT max(n) AS m FROM t) SELECT m FROM x ; \n"), (Lines{"3"}));
  EXPECT_EQ(read("VALUES (1, 'a')"), (Lines{"1 'a'"}));
  EXPECT_EQ(read("SELECT n FROM t WHERE n = 2 -- the second"), (Lines{"2"}));
  EXPECT_EQ(read("SELECT FROM t WHERE n = 2"), (Lines{""}));
}

TEST_F(LoadPostgresReader, WhatIsNoQueryIsRefusedAndChangesNothing) {
  session().execute("CREATE TABLE t AS SELECT 1 AS n");
  for (const char* query :
       {"DELETE FROM t RETURNING n", "WITH d AS (DELETE FROM t RETURNING n) SELECT n FROM d",
        "SELECT n FROM t) TO STDOUT; DELETE FROM t; SELECT (1", "SELECT 1 AS a, 2 AS a", "",
        "SELECT nextval('s') AS n", "SELECT set_config('a.b', 'c', false); DELETE FROM t"}) {
    session().execute("CREATE SEQUENCE IF NOT EXISTS s");
    EXPECT_THROW(PostgresReader(session(), query).next(), Error) << query;
  }
  EXPECT_EQ(read("SELECT count(*) AS n FROM t"), (Lines{"1"}));
}

TEST_F(LoadPostgresReader, AllOfItComesFromOneSnapshot) {
  session().execute(
      "CREATE TABLE t AS SELECT n, repeat('x', 500) AS filling FROM generate_series(1, 20000) n");
  PostgresReader reader(session(), "SELECT n FROM t ORDER BY n");
  ASSERT_TRUE(reader.next());
  session().execute("UPDATE t SET n = n + 1000000");
  std::uint64_t rows = 1;
  while (const auto record = reader.next()) {
    ASSERT_EQ(record->cells[0].text, std::to_string(++rows));
    ASSERT_EQ(record->line, rows);
  }
  EXPECT_EQ(rows, 20000);
  EXPECT_GT(reader.progress().bytes, 20000);
}

TEST_F(LoadPostgresReader, NothingIsHeldWhenItIsDone) {
  session().execute("CREATE TABLE t AS SELECT 1 AS n");
  PostgresReader reader(session(), "SELECT n FROM t");
  while (reader.next()) {
  }
  // No lock of its transaction is in the way.
  EXPECT_NO_THROW(session().execute_script("SET lock_timeout = '2s'; DROP TABLE t"));
}

TEST_F(LoadPostgresReader, AnErrorInTheMiddleThrows) {
  PostgresReader reader(session(), "SELECT 1 / (n - 5000) AS x FROM generate_series(1, 10000) n");
  EXPECT_THROW(
      {
        while (reader.next()) {
        }
      },
      Error);
}

TEST_F(LoadPostgresReader, OneThatIsGivenUpLeavesNothing) {
  PostgresReader reader(session(), "SELECT repeat('x', 1000) AS x FROM generate_series(1, 1000000)");
  EXPECT_TRUE(reader.next());
}

}  // namespace
}  // namespace weir::load
