#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "schema/gen/emit.h"
#include "schema/gen/sql_lexer.h"

namespace weir::sqlgen {
namespace {

std::string fault(const char* name, std::string text) {
  const std::string copy = text;
  try {
    parse_migration(name, std::move(text));
  } catch (const SyntaxError& error) {
    return std::to_string(line_of(copy, error.offset)) + ": " + error.message;
  }
  return "none";
}

TEST(Emit, WritesAQueryAsAStruct) {
  const std::string header = emit_queries_header(
      parse_queries("-- name: due_rows(lane int2, at timestamptz?) -> (id int8, note text?)\n"
                    "-- Why. \\\n"
                    "SELECT id,\n"
                    "       note || \"x\" FROM t WHERE lane = :lane AND at = :at;\n"));
  const std::string expected =
      "/// Why.\n"
      "/// `session.run<sql::DueRows>(lane, at)`\n"
      "struct DueRows {\n"
      "  using Arguments = std::tuple<std::int16_t, std::optional<WallTime>>;\n"
      "  struct Row {\n"
      "    std::int64_t id;\n"
      "    std::optional<std::string_view> note;\n"
      "  };\n"
      "  static Row decode(const pg::Row& row) {\n"
      "    return {row.get<std::int64_t>(0),\n"
      "            row.get<std::optional<std::string_view>>(1)};\n"
      "  }\n"
      "  static constexpr std::array<pg::Oid, 2> kParameters{pg::oid::kInt2, pg::oid::kTimestamptz};\n"
      "  static constexpr std::array<pg::Oid, 2> kColumns{pg::oid::kInt8, pg::oid::kText};\n"
      "  static constexpr pg::Query kQuery{\"due_rows\",\n"
      "      \"/* weir:due_rows */ SELECT id,\\n\"\n"
      "      \"       note || \\\"x\\\" FROM t WHERE lane = $1 AND at = $2\",\n"
      "      kParameters, kColumns};\n"
      "};\n";
  EXPECT_NE(header.find(expected), std::string::npos) << header;
}

TEST(Emit, AQueryWithoutRowsHasAnEmptyRow) {
  const std::string header = emit_queries_header(parse_queries("-- name: touch()\nSELECT 1;"));
  EXPECT_NE(header.find("  struct Row {};\n"), std::string::npos) << header;
  EXPECT_NE(header.find("std::array<pg::Oid, 0> kColumns{};"), std::string::npos) << header;
}

TEST(Emit, LiteralsSurviveTheCompiler) {
  EXPECT_EQ(cpp_literal("", ""), "\"\"");
  EXPECT_EQ(cpp_literal("a\"b\\c", "  "), "  \"a\\\"b\\\\c\"");
  EXPECT_EQ(cpp_literal("a\nb\n", " "), " \"a\\n\"\n \"b\\n\"");
  EXPECT_EQ(cpp_literal("a\t1\r", ""), "\"a\\0111\\015\"");
  EXPECT_EQ(cpp_literal("?\?=?\?\?", ""), "\"?\\?=?\\?\\?\"");
  EXPECT_EQ(cpp_literal("é", ""), "\"é\"");
}

TEST(MigrationFile, KnowsNumberNameAndChecksum) {
  const MigrationFile file = parse_migration("012_add_lane.sql", "SELECT 1;\n");
  EXPECT_EQ(file.number, 12);
  EXPECT_EQ(file.name, "add_lane");
  // Stored in databases: a change of the hash would make every one of them "tampered with".
  EXPECT_EQ(file.checksum, "98fe1dd7fddf6e33");
  EXPECT_NE(parse_migration("012_add_lane.sql", "SELECT 1; \n").checksum, file.checksum);
}

TEST(MigrationFile, RefusesOtherNames) {
  for (const char* name : {"1_a.sql", "0001_a.sql", "000_a.sql", "001a.sql", "001_.sql", "001_A.sql",
                           "001_a.txt", "-01_a.sql", "001_a_.sql", "sql"}) {
    EXPECT_NE(fault(name, "SELECT 1;").find("NNN_snake_case.sql"), std::string::npos) << name;
  }
}

TEST(MigrationFile, RefusesScriptsThatCouldBeAppliedInPart) {
  EXPECT_EQ(fault("001_a.sql", "SELECT 1;\n COMMIT;"),
            "2: a migration must not control the transaction it runs in (COMMIT)");
  EXPECT_NE(fault("001_a.sql", "begin; SELECT 1; end;"), "none");
  EXPECT_NE(fault("001_a.sql", "/* x */ Rollback;"), "none");
  EXPECT_EQ(fault("001_a.sql", "SELECT 1; PREPARE /* x */ Transaction 'half';"),
            "1: a migration must not control the transaction it runs in (Transaction)");
  EXPECT_EQ(fault("001_a.sql", "PREPARE p AS SELECT 1;"), "none");
  EXPECT_EQ(fault("001_a.sql", "DO $$ BEGIN COMMIT; END $$; SELECT 'commit;';"), "none");
  EXPECT_EQ(fault("001_a.sql", "SELECT 1;\nSELECT 2"), "2: the last statement has no semicolon");
  EXPECT_EQ(fault("001_a.sql", "-- nothing\n"), "1: the migration has no statement");
}

TEST(MigrationFile, NumbersHaveNoGaps) {
  const auto numbered = [](std::vector<int> numbers) {
    std::vector<MigrationFile> files;
    for (const int number : numbers)
      files.push_back({.number = number, .name = "x", .checksum = {}, .sql = {}});
    return numbering_fault(files);
  };
  EXPECT_EQ(numbered({}), "");
  EXPECT_EQ(numbered({1, 2, 3}), "");
  EXPECT_EQ(numbered({2}), "migration 001 is missing before 002_x.sql");
  EXPECT_EQ(numbered({1, 3}), "migration 002 is missing before 003_x.sql");
  EXPECT_EQ(numbered({1, 2, 2}), "two migrations have the number 002: renumber 002_x.sql");
}

}  // namespace
}  // namespace weir::sqlgen
