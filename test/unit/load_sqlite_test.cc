#include <filesystem>
#include <fstream>

#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include "base/error.h"
#include "load/read/sqlite_reader.h"

namespace weir::load {
namespace {

using Lines = std::vector<std::string>;

class LoadSqlite : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = std::filesystem::temp_directory_path() / fmt::format("weir-sqlite-{}.db", ::getpid());
    std::filesystem::remove(file_);
    ASSERT_EQ(sqlite3_open(file_.c_str(), &database_), SQLITE_OK);
  }
  void TearDown() override {
    sqlite3_close(database_);
    std::filesystem::remove(file_);
  }
  void run(const std::string& sql) {
    char* message = nullptr;
    ASSERT_EQ(sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK)
        << sql << ": " << message;
  }
  Lines read(const std::string& query) {
    SqliteReader reader(file_, query);
    Lines out;
    while (const auto record = reader.next()) {
      std::string line;
      if (!record->malformed.empty()) line = fmt::format("{} {}", record->line, record->malformed);
      for (const Cell& cell : record->cells) {
        if (!line.empty()) line += ' ';
        switch (cell.kind) {
          case Cell::Kind::null: line += "null"; break;
          case Cell::Kind::number: line += cell.text; break;
          case Cell::Kind::bytes: line += fmt::format("bytes({})", cell.text.size()); break;
          default: line += fmt::format("'{}'", cell.text);
        }
      }
      out.push_back(line);
    }
    EXPECT_FALSE(reader.next());
    return out;
  }
  std::string failure_of(const std::string& query, SqliteOptions options = {}) {
    try {
      SqliteReader reader(file_, query, options);
      while (reader.next()) {
      }
    } catch (const Error& error) {
      return std::string(error.what()).substr(fmt::format("SQLite database {}: ", file_.string()).size());
    }
    return "no failure";
  }

  std::filesystem::path file_;
  sqlite3* database_ = nullptr;
};

TEST_F(LoadSqlite, ValuesAreExact) {
  run("CREATE TABLE t (v)");
  run("INSERT INTO t VALUES (9223372036854775807), (-9223372036854775808), (0), (0.1), (1e300), (5e-324), "
      "(-2.0),"
      " (9e999), (-9e999), ('text'), (''), ('7'), (x'00ff41'), (x''), (NULL), (1e21), (9007199254740993.0)");
  EXPECT_EQ(read("SELECT v FROM t ORDER BY rowid"),
            (Lines{"9223372036854775807", "-9223372036854775808", "0", "0.1", "1e+300", "5e-324", "-2.0",
                   "'Infinity'", "'-Infinity'", "'text'", "''", "'7'", "bytes(3)", "bytes(0)", "null",
                   "1e+21", "9007199254740992.0"}));
}

TEST_F(LoadSqlite, ATextKeepsItsZeroByteAndOneThatIsNotUtf8IsReported) {
  run("CREATE TABLE t (a, b)");
  run("INSERT INTO t VALUES (1, CAST(x'610062' AS TEXT)), (2, CAST(x'61ff' AS TEXT)), (3, 'ok')");
  const Lines lines = read("SELECT a, b FROM t ORDER BY a");
  ASSERT_EQ(lines.size(), 3);
  EXPECT_EQ(lines[0], std::string("1 'a\0b'", 7));
  EXPECT_EQ(lines[1], "2 column 'b': byte 2 of the text is not UTF-8");
  EXPECT_EQ(lines[2], "3 'ok'");
}

TEST_F(LoadSqlite, DatabasesInUtf16AreReadAsUtf8) {
  run("PRAGMA encoding = 'UTF-16'; CREATE TABLE t (a); INSERT INTO t VALUES ('žluť 😀')");
  EXPECT_EQ(read("SELECT a FROM t"), (Lines{"'žluť 😀'"}));
}

TEST_F(LoadSqlite, DeclaredTypesAreHints) {
  run("CREATE TABLE t (i INTEGER, b BIGINT, s VARCHAR(20), c text, r REAL, d DOUBLE PRECISION, f float, n "
      "NUMERIC,"
      " p DECIMAL(10, 2), o BOOLEAN, day date, at DateTime, ts TIMESTAMP, u UUID, j JSON, x BLOB, none, odd "
      "GEOMETRY)");
  SqliteReader reader(file_, SqliteReader::query_of_table("t"));
  Lines hints;
  for (std::size_t i = 0; i < reader.columns().size(); ++i) {
    hints.push_back(reader.columns()[i] + ' ' + (reader.hint(i) ? reader.hint(i)->sql : "-"));
  }
  EXPECT_EQ(hints, (Lines{"i bigint", "b bigint", "s text", "c text", "r double precision",
                          "d double precision", "f double precision", "n numeric", "p numeric", "o boolean",
                          "day date", "at timestamp without time zone", "ts timestamp without time zone",
                          "u uuid", "j jsonb", "x bytea", "none -", "odd -"}));
  SqliteReader expression(file_, "SELECT 1 + 1 AS two");
  EXPECT_EQ(expression.hint(0), std::nullopt);
}

TEST_F(LoadSqlite, TablesOfAnyName) {
  run(R"(CREATE TABLE "odd ""name"" ;--" (a); INSERT INTO "odd ""name"" ;--" VALUES (1))");
  EXPECT_EQ(read(SqliteReader::query_of_table("odd \"name\" ;--")), (Lines{"1"}));
  run("CREATE TABLE empty (a, b)");
  EXPECT_EQ(read(SqliteReader::query_of_table("empty")), Lines{});
  EXPECT_EQ(read("SELECT 1 AS a; -- a comment\n"), (Lines{"1"}));
}

TEST_F(LoadSqlite, WhatIsNoQueryIsRefused) {
  run("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  EXPECT_EQ(failure_of("SELECT * FROM missing"), "cannot run the query: no such table: missing");
  EXPECT_NE(failure_of("DELETE FROM t"), "no failure");
  EXPECT_NE(failure_of("DELETE FROM t RETURNING a"), "no failure");
  EXPECT_NE(failure_of("SELECT 1 AS a; DELETE FROM t"), "no failure");
  EXPECT_NE(failure_of("SELECT 1 AS a; SELECT 2"), "no failure");
  EXPECT_NE(failure_of("  -- nothing"), "no failure");
  EXPECT_NE(failure_of("SELECT 1 AS a, 2 AS a"), "no failure");
  EXPECT_NE(failure_of("BEGIN"), "no failure");
  EXPECT_EQ(read("SELECT count(*) AS n FROM t"), (Lines{"1"}));
}

TEST_F(LoadSqlite, FilesThatAreNoDatabase) {
  EXPECT_THROW(SqliteReader("/nowhere/at/all.db", "SELECT 1 AS a"), Error);
  EXPECT_FALSE(std::filesystem::exists("/nowhere"));
  const std::filesystem::path other = file_.string() + ".txt";
  std::ofstream(other) << std::string(5000, 'x');
  try {
    SqliteReader reader(other, "SELECT * FROM t");
    FAIL() << "a text was read as a database";
  } catch (const Error& error) {
    EXPECT_NE(error.remedy().find("SQLite database"), std::string::npos);
  }
  std::filesystem::remove(other);
}

TEST_F(LoadSqlite, AWriterIsWaitedForAndThenNamed) {
  run("CREATE TABLE t (a); INSERT INTO t VALUES (1); BEGIN EXCLUSIVE");
  EXPECT_EQ(failure_of("SELECT * FROM t", {.busy_timeout = std::chrono::milliseconds(1)}),
            "cannot run the query: database is locked");
  run("ROLLBACK");
  EXPECT_EQ(read("SELECT * FROM t"), (Lines{"1"}));
}

TEST_F(LoadSqlite, AReadIsOneSnapshotAndNeedsNoWrites) {
  run("PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)");
  SqliteReader reader(file_, "SELECT a FROM t ORDER BY a");
  ASSERT_TRUE(reader.next());
  run("DELETE FROM t; INSERT INTO t VALUES (9)");
  EXPECT_EQ(reader.next()->cells[0].text, "2");
  EXPECT_EQ(reader.next()->cells[0].text, "3");
  EXPECT_FALSE(reader.next());
}

TEST_F(LoadSqlite, AValueBeyondTheLimitEndsTheRead) {
  run("CREATE TABLE t (a); INSERT INTO t VALUES ('short'), (zeroblob(100000))");
  EXPECT_EQ(failure_of("SELECT a FROM t ORDER BY rowid", {.max_value_bytes = 50000}),
            "reading broke off behind row 1: string or blob too big");
}

}  // namespace
}  // namespace weir::load
