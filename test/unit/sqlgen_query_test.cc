#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "schema/gen/query_file.h"
#include "schema/gen/sql_lexer.h"

namespace weir::sqlgen {
namespace {

QueryDefinition parse_one(const std::string& text) {
  std::vector<QueryDefinition> queries = parse_queries(text);
  EXPECT_EQ(queries.size(), 1U);
  return queries.at(0);
}

/// `line: message`, or "none".
std::string fault(std::string_view text) {
  try {
    parse_queries(text);
  } catch (const SyntaxError& error) {
    return std::to_string(line_of(text, error.offset)) + ": " + error.message;
  }
  return "none";
}

std::string rewritten(const std::string& parameters, const std::string& sql) {
  return parse_one("-- name: q(" + parameters + ")\n" + sql).sql;
}

TEST(QueryFile, ReadsNameDocParametersColumnsAndStatement) {
  const QueryDefinition query = parse_one(
      "-- What this file is about.\n"
      "\n"
      "-- name: lock_rows(lane int2, keys int8[], at timestamptz?) -> (id int8, payload jsonb?, tags "
      "text?[]?)\n"
      "-- Why it is\n"
      "-- as it is.\n"
      "SELECT 1 WHERE :lane = :at AND :lane = ANY (:keys);\n");
  EXPECT_EQ(query.name, "lock_rows");
  EXPECT_EQ(query.struct_name(), "LockRows");
  EXPECT_EQ(query.line, 3U);
  EXPECT_EQ(query.doc, (std::vector<std::string>{"Why it is", "as it is."}));
  ASSERT_EQ(query.parameters.size(), 3U);
  EXPECT_EQ(query.parameters[0].type.cpp(), "std::int16_t");
  EXPECT_EQ(query.parameters[1].type.cpp(), "std::vector<std::int64_t>");
  EXPECT_EQ(query.parameters[2].type.cpp(), "std::optional<WallTime>");
  ASSERT_EQ(query.columns.size(), 3U);
  EXPECT_EQ(query.columns[1].type.cpp(), "std::optional<pg::JsonView>");
  EXPECT_EQ(query.columns[2].type.cpp(), "std::optional<std::vector<std::optional<std::string_view>>>");
  EXPECT_EQ(query.columns[2].type.oid(), "pg::oid::kTextArray");
  EXPECT_EQ(query.sql, "SELECT 1 WHERE $1 = $3 AND $1 = ANY ($2)");
}

TEST(QueryFile, AHeaderMayTakeSeveralLines) {
  const QueryDefinition query = parse_one(
      "-- name: info(\n--   a int4,\n--   b text) ->\n--   (c int8,\n--    d bool)\n-- Doc.\nSELECT :a, :b;");
  EXPECT_EQ(query.parameters.size(), 2U);
  EXPECT_EQ(query.columns.size(), 2U);
  EXPECT_EQ(query.doc, std::vector<std::string>{"Doc."});
}

TEST(QueryFile, HoldsSeveralStatements) {
  const std::vector<QueryDefinition> queries =
      parse_queries("-- name: a()\nSELECT 1;\n-- a comment between\n-- name: b()\nSELECT ';';\n-- the end\n");
  ASSERT_EQ(queries.size(), 2U);
  EXPECT_TRUE(queries[0].doc.empty());
  EXPECT_EQ(queries[1].sql, "SELECT ';'");
  EXPECT_EQ(queries[1].line, 4U);
}

TEST(QueryFile, AnEmptyFileHasNoQueries) {
  EXPECT_TRUE(parse_queries("").empty());
  EXPECT_TRUE(parse_queries("-- nothing yet\n").empty());
}

TEST(QueryFile, AHeaderInsideOfAStringOrCommentIsNone) {
  EXPECT_EQ(parse_one("-- name: a()\nSELECT '\n-- name: b()\n';").sql, "SELECT '\n-- name: b()\n'");
  EXPECT_EQ(parse_one("-- name: a()\nSELECT /*\n-- name: b()\n*/ 1;").sql, "SELECT 1");
}

TEST(QueryFile, CommentsAreTakenOutAndNothingGrowsTogether) {
  EXPECT_EQ(rewritten("", "SELECT/* x */1;"), "SELECT 1");
  EXPECT_EQ(rewritten("", "SELECT 1 -- one\n     , 2 /* two */;"), "SELECT 1\n     , 2");
  EXPECT_EQ(rewritten("", "SELECT 1\n\n\n  , 2\n;"), "SELECT 1\n  , 2");
  EXPECT_EQ(rewritten("", "SELECT 'a  --b\n\n  c' ;"), "SELECT 'a  --b\n\n  c'");
  EXPECT_EQ(rewritten("a int4", "SELECT x:a;"), "SELECT x $1");
}

TEST(QueryFile, ReplacesNamesByNumbers) {
  EXPECT_EQ(rewritten("a int4", "SELECT :a::int8, a::int4, b[1:2], ':a', :a;"),
            "SELECT $1::int8, a::int4, b[1:2], ':a', $1");
  EXPECT_EQ(rewritten("b int4, a int4", "SELECT f(x := :a), b[:a : :b], $$ :c $$;"),
            "SELECT f(x := $2), b[$2 : $1], $$ :c $$");
}

struct Wrong {
  const char* text;
  const char* fault;
};

class QueryFaults : public ::testing::TestWithParam<Wrong> {};

TEST_P(QueryFaults, NameTheLine) {
  const std::string found = fault(GetParam().text);
  EXPECT_EQ(found.substr(0, std::string(GetParam().fault).size()), GetParam().fault) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Statements, QueryFaults,
    ::testing::Values(Wrong{"SELECT 1;", "1: a statement stands before the first '-- name:' header"},
                      Wrong{"\n-- name: a()\n", "2: a has no statement"},
                      Wrong{"-- name: a()\n;", "1: a has no statement"},
                      Wrong{"-- name: a()\n-- only words\n;", "1: a has no statement"},
                      Wrong{"-- name: a()\nSELECT 1\n", "1: the statement of a has no semicolon"},
                      Wrong{"-- name: a()\nSELECT 1\n-- name: b()\nSELECT 2;",
                            "1: the statement of a has no semicolon"},
                      Wrong{"-- name: a()\nSELECT 1;\nSELECT 2;", "3: a second statement under one name"},
                      Wrong{"-- name: a()\nSELECT 1;;", "2: a second statement under one name"},
                      Wrong{"-- name: a()\nSELECT 1;\n-- name: a()\nSELECT 2;",
                            "3: a query named a (in C++ A) exists already"},
                      Wrong{"-- name: a_1b()\nSELECT 1;\n-- name: a1b()\nSELECT 2;",
                            "3: a query named a1b (in C++ A1b) exists"},
                      Wrong{"-- name: a()\nSELECT\n  'x;", "3: a string is not closed"},
                      Wrong{"-- name: a()\nSELECT '\xFF';", "2: the text is not UTF-8"}));
INSTANTIATE_TEST_SUITE_P(
    Parameters, QueryFaults,
    ::testing::Values(
        Wrong{"-- name: a()\nSELECT\n :b;", "3: :b is not among the parameters of a"},
        Wrong{"-- name: a(b int4)\nSELECT 1;", "1: parameter 'b' of a is not used"},
        Wrong{"-- name: a(hi int4)\nSELECT x[1:hi];", "1: parameter 'hi' of a is not used (inside [ ]"},
        Wrong{"-- name: a(b int4)\nSELECT ':b';", "1: parameter 'b' of a is not used"},
        Wrong{"-- name: a(b int4)\nSELECT $1;", "2: write the parameter's name, as in :lane, not $1"}));
INSTANTIATE_TEST_SUITE_P(
    Headers, QueryFaults,
    ::testing::Values(
        Wrong{"-- name: aB()\nSELECT 1;", "1: query name 'aB' is not snake_case"},
        Wrong{"-- name: a__b()\nSELECT 1;", "1: query name 'a__b' is not snake_case"},
        Wrong{"-- name: a_()\nSELECT 1;", "1: query name 'a_' is not snake_case"},
        Wrong{"-- name: 1a()\nSELECT 1;", "1: query name '1a' is not snake_case"},
        Wrong{"-- name:\nSELECT 1;", "1: query name '' is not snake_case"},
        Wrong{"-- name: a\nSELECT 1;", "1: expected '(' after the query's name"},
        Wrong{"-- name: a(\nSELECT 1;", "1: ')' is missing in the header"},
        Wrong{"-- name: a() (b int4)\nSELECT 1;", "1: expected '->' or the end of the header, found '"},
        Wrong{"-- name: a() -> ()\nSELECT 1;", "1: no columns after '->'"},
        Wrong{"-- name: a() ->\nSELECT 1;", "1: expected '(' after '->'"},
        Wrong{"-- name: a() -> (b int4) c\nSELECT 1;", "1: expected the end of the header, found 'c'"},
        Wrong{"-- name: a(b)\nSELECT 1;", "1: expected '<name> <type>' for a parameter, found 'b'"},
        Wrong{"-- name: a(b int4,)\nSELECT 1;", "1: expected '<name> <type>' for a parameter, found ''"},
        Wrong{"-- name: a(b int)\nSELECT :b;", "1: unknown type 'int' of parameter 'b'; known are bool"},
        Wrong{"-- name: a(b int4[]\?\?)\nSELECT :b;", "1: unknown type 'int4[]\?\?' of parameter"},
        Wrong{"-- name: a(b int4, b int8)\nSELECT :b;", "1: parameter 'b' appears twice"},
        Wrong{"-- name: a() -> (B int4)\nSELECT 1;", "1: column name 'B' is not snake_case"},
        Wrong{"-- name: a() -> (class int4)\nSELECT 1;", "1: column name 'class' is a word of C++"},
        Wrong{"-- name: a() -> (while int4)\nSELECT 1;", "1: column name 'while' is a word of C++"}));

TEST(QueryFile, RefusesANulByteAndANameThatPostgresWouldCut) {
  using namespace std::string_view_literals;
  EXPECT_EQ(fault("-- name: a()\nSELECT '\0';"sv), "2: the text has a NUL byte");
  EXPECT_NE(fault("-- name: " + std::string(64, 'a') + "()\nSELECT 1;").find("is longer than 63 bytes"),
            std::string::npos);
  EXPECT_EQ(fault("-- name: " + std::string(63, 'a') + "()\nSELECT 1;"), "none");
}

TEST(SqlType, EveryTypeHasItsFormInCpp) {
  const std::vector<std::pair<const char*, const char*>> expected{
      {"bool", "bool"},
      {"int2", "std::int16_t"},
      {"int4", "std::int32_t"},
      {"int8", "std::int64_t"},
      {"float4", "float"},
      {"float8", "double"},
      {"text", "std::string_view"},
      {"bytea", "pg::BytesView"},
      {"jsonb", "pg::JsonView"},
      {"timestamptz", "WallTime"},
      {"uuid", "pg::Uuid"},
      {"uuid[]", "std::vector<pg::Uuid>"},
      {"int8[]?", "std::optional<std::vector<std::int64_t>>"}};
  for (const auto& [sql, cpp] : expected) EXPECT_EQ(SqlType::parse(sql).value().cpp(), cpp);
  EXPECT_FALSE(SqlType::parse(""));
  EXPECT_FALSE(SqlType::parse("int4 []"));
}

}  // namespace
}  // namespace weir::sqlgen
