// The server is the oracle: what its input functions take and what comes out is what the encoder takes and
// what arrives through COPY BINARY.
#include "pg/load_value_fixture.h"

namespace weir::load {
namespace {

const Words kIntegers{"0",
                      "1",
                      "-1",
                      "+1",
                      " 7 ",
                      "\t7\n",
                      "00012",
                      "-0",
                      "32767",
                      "32768",
                      "-32768",
                      "-32769",
                      "2147483647",
                      "2147483648",
                      "-2147483648",
                      "-2147483649",
                      "9223372036854775807",
                      "9223372036854775808",
                      "-9223372036854775808",
                      "-9223372036854775809",
                      "100000000000000000",
                      "123456789012345678901234567890",
                      "",
                      " ",
                      "+",
                      "-",
                      "+-1",
                      "--1",
                      "1 2",
                      "1.0",
                      "1e3",
                      "0x1F",
                      "1_000",
                      "12x",
                      "x12",
                      "٣",
                      "NaN",
                      "000000000000000000000000000000000000012"};

TEST_F(LoadValueTest, Integers) {
  for (const char* sql : {"int2", "int4", "int8"}) {
    // From PostgreSQL 16 on the server also takes 0x1F and 1_000.
    Words inputs = kIntegers;
    if (session_->server_version() >= 160000) {
      std::erase_if(inputs, [](const std::string& text) { return text == "0x1F" || text == "1_000"; });
    }
    expect_same(sql, inputs);
    expect_same(sql, spoilt({"12345", "-32768", " 42 ", "2147483647", "9223372036854775807"},
                            "0123456789+- .", 2000));
  }
}

TEST_F(LoadValueTest, Booleans) {
  Words inputs{"1",   "0",    "10", "01",  "",     " ", "o",  "O",  "of",
               "off", "offf", "on", "onn", " on ", "2", "-1", "ja", "\tfalse\n"};
  for (const std::string word : {"true", "false", "yes", "no", "TRUE", "False", "yEs", "NO", "truex"}) {
    for (std::size_t length = 1; length <= word.size(); ++length) inputs.push_back(word.substr(0, length));
  }
  expect_same("boolean", inputs);
}

const Words kNumerics{"0",
                      "-0",
                      "0.0",
                      "-0.00",
                      "1",
                      "1.",
                      ".5",
                      "-.5",
                      "+.5",
                      ".",
                      "-",
                      "",
                      "1.50",
                      "00123.4500",
                      "123456789012345678901234567890",
                      "100000000000000000",
                      "0.000000000000000000000000000001",
                      "1e3",
                      "1E3",
                      "1e+3",
                      "1e-3",
                      "1.5e2",
                      "1.55e1",
                      "12345e-2",
                      "1e",
                      "1e+",
                      "e3",
                      "1e3.5",
                      "1ee3",
                      "NaN",
                      "nan",
                      " NaN ",
                      "-NaN",
                      "+NaN",
                      "Infinity",
                      "-Infinity",
                      "+Infinity",
                      "inf",
                      "-inf",
                      "+INF",
                      "infinit",
                      "99.995",
                      "99.994",
                      "999.995",
                      "999.994",
                      "999.99",
                      "1000",
                      "-999.995",
                      "-999.994",
                      "0.005",
                      "0.0049999",
                      "0.004",
                      "-0.005",
                      "9999",
                      "9999.9999",
                      "10000",
                      "10000.0001",
                      "0.0001",
                      "0.00001",
                      "0.1234",
                      "0.12345",
                      "1e130000",
                      "1e131071",
                      "1e131072",
                      "-1e131072",
                      "9e131071",
                      "1e-16383",
                      "1e-16384",
                      "0e999999",
                      "0e-16384",
                      "0e-20000",
                      "1e-20000",
                      "1e2000000000",
                      "1e-2000000000",
                      "1e99999999999999999999",
                      "1e1073741822",
                      "0e1073741823",
                      "1e5 ",
                      " 1",
                      "1 1",
                      "1,5",
                      "0.12e1",
                      "0.0012e3",
                      "5e0",
                      "5e00000000000000001",
                      "1234567890.0987654321e-5",
                      "44.5",
                      "45",
                      "50",
                      "55",
                      "149",
                      "150",
                      "1499",
                      "1500",
                      "0.00000123",
                      "0.00000999",
                      "0.0000099949",
                      "0.0000099951",
                      "12.3456",
                      "99999.5",
                      "99999.4"};

TEST_F(LoadValueTest, Numerics) {
  Words inputs = kNumerics;
  for (const std::size_t zeros : {62U, 63U, 64U, 65U, 300U, 16383U}) {
    inputs.push_back("0." + std::string(zeros - 1, '0') + "1");
    inputs.push_back("0." + std::string(zeros, '9'));
    inputs.push_back("1" + std::string(zeros, '0'));
    inputs.push_back("1" + std::string(zeros, '0') + "." + std::string(zeros, '7'));
  }
  inputs.push_back("0." + std::string(16384, '1'));
  inputs.push_back(std::string(131072, '9'));
  inputs.push_back(std::string(131073, '9'));
  inputs.push_back(std::string(5000, '0') + "7");
  Words types{"numeric",      "numeric(5,2)",    "numeric(5)",  "numeric(38,10)",
              "numeric(1,0)", "numeric(1000,0)", "numeric(4,4)"};
  if (session_->server_version() >= 150000) types.insert(types.end(), {"numeric(3,-2)", "numeric(3,6)"});
  const Words random = spoilt({"123.45", "-0.005", "999.994e0", "1e-3", "12345678.87654321", "5e3"},
                              "0123456789+-.eE9950", 3000);
  for (const std::string& sql : types) {
    expect_same(sql, inputs);
    expect_same(sql, random);
  }
}

TEST_F(LoadValueTest, Floats) {
  const Words inputs{"0",
                     "-0",
                     "+0",
                     "1",
                     "-1.5",
                     ".5",
                     "5.",
                     "1e10",
                     "1E-10",
                     "1e308",
                     "1.7976931348623157e308",
                     "1.7976931348623159e308",
                     "1e309",
                     "-1e309",
                     "1e400",
                     "5e-324",
                     "4.9406564584124654e-324",
                     "3e-324",
                     "2e-324",
                     "1e-400",
                     "0e-400",
                     "0.0e999",
                     "2.2250738585072014e-308",
                     "1e38",
                     "3.4028235e38",
                     "3.4028236e38",
                     "3.5e38",
                     "1e39",
                     "1e-45",
                     "1.4e-45",
                     "7e-46",
                     "1e-46",
                     "1.17549435e-38",
                     "16777217",
                     "9007199254740993",
                     "0.1",
                     "0.3",
                     "123456789012345678901234567890",
                     "NaN",
                     "nan",
                     "-nan",
                     "+NaN",
                     " nan ",
                     "inf",
                     "-inf",
                     "Infinity",
                     "-INFINITY",
                     "+infinity",
                     "infinit",
                     "nano",
                     "",
                     " ",
                     "-",
                     "+",
                     ".",
                     "e5",
                     "1e",
                     "1e+",
                     "+-5",
                     "-+5",
                     "++5",
                     "1 2",
                     " 1 ",
                     "1f",
                     "1,5",
                     "1..2"};
  for (const char* sql : {"float4", "float8"}) {
    expect_same(sql, inputs, {"0x1F", "0x1p3", "nan(1)"});
    expect_same(sql, spoilt({"123.45", "-0.005", "1e-30", "3.4e38", "1.7e308", "NaN", "-Infinity"},
                            "0123456789+-.eE ", 3000));
  }
}

TEST_F(LoadValueTest, Texts) {
  const Words inputs{"",     " ",     "a",      "abc",  "abcd",     "abc ", "abc    ", "ab  d",
                     "ž€😀", "ž€😀x", "ž€😀  ", "  ž€", "\x01\x7f", "a\nb", "'\"\\"};
  for (const char* sql : {"text", "varchar", "varchar(3)", "char(3)", "bpchar", "char"})
    expect_same(sql, inputs);
}

TEST_F(LoadValueTest, Bytes) {
  expect_same("bytea", {"",       "abc",   "\\x",   "\\x00ff", "\\xDEADbeef", "\\x 00 ff\n", "\\x0",
                        "\\x0 0", "\\xzz", "\\X00", "a\\\\b",  "\\000",       "\\377",       "\\400",
                        "\\12",   "\\128", "\\",    "a\\",     "\\\\",        "ž",           "\\001\\\\x"});
}

TEST_F(LoadValueTest, Uuids) {
  const std::string good = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  const Words inputs{good,
                     "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                     "{" + good + "}",
                     "a0eebc999c0b4ef8bb6d6bb9bd380a11",
                     "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
                     "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
                     "{" + good,
                     good + "}",
                     " " + good,
                     good + " ",
                     good + "-",
                     "-" + good,
                     "",
                     "{}",
                     "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
                     "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g",
                     "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11"};
  expect_same("uuid", inputs);
  expect_same("uuid", spoilt({good, "{" + good + "}"}, "0123456789abcdefg-{}", 2000));
}

TEST_F(LoadValueTest, Json) {
  const Words inputs{"null",
                     "true",
                     "false",
                     "0",
                     "-0",
                     "1.5e10",
                     "01",
                     "-",
                     "-01",
                     "1.",
                     ".5",
                     "1e",
                     "1e5",
                     "+1",
                     "NaN",
                     "\"\"",
                     "\"a\\nb\"",
                     "\"a\nb\"",
                     "\"\\u0000\"",
                     "\"\\ud83d\\ude00\"",
                     "\"\\ud83d\"",
                     "\"\\ude00\"",
                     "\"\\ud83d\\ud83d\"",
                     "\"\\ud83dx\"",
                     "\"\\u12\"",
                     "\"\\u12G4\"",
                     "\"\\x\"",
                     "\"abc",
                     "[]",
                     "[ ]",
                     "[1,2]",
                     "[1,]",
                     "[,1]",
                     "[1 2]",
                     "[",
                     "]",
                     "{}",
                     "{\"a\":1}",
                     "{\"a\":1,}",
                     "{\"a\" 1}",
                     "{a:1}",
                     "{1:1}",
                     "{\"a\":}",
                     "{\"a\":1,\"a\":2}",
                     "{\"\\u0000\":1}",
                     "[1}",
                     "{\"a\":[{\"b\":[]}]}",
                     " [1] ",
                     "\t\n\r1",
                     "\f1",
                     "",
                     " ",
                     "1 2",
                     "nul",
                     "nullx",
                     "truefalse",
                     "tru",
                     "1e131071",
                     "1e131072",
                     "1e-16383",
                     "1e-16384",
                     "123456789012345678901234567890",
                     "\"\\\"",
                     "\"\\",
                     "{\"a\":1",
                     "{\"a\"",
                     "{",
                     "[\"a\"",
                     "'a'",
                     "\"ž\\/\\b\\f\\t\\r\"",
                     "[1],",
                     "[[[[[[1]]]]]]",
                     "1x",
                     "\"\x7f\"",
                     "-x",
                     "1.e5",
                     "1.5E+3"};
  for (const char* sql : {"json", "jsonb"}) {
    expect_same(sql, inputs);
    expect_same(
        sql, spoilt({"{\"a\": [1, 2.5e3, \"x\\u00e9\"], \"b\": null}", "[true, false, \"\\ud83d\\ude00\"]"},
                    "{}[]:,\"\\0123u. ea", 4000));
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    EXPECT_TRUE(differences(sql, {nested(5000)}).empty()) << "the server's stack takes what we take";
  }
}

TEST_F(LoadValueTest, ACellOfJsonsOwnKinds) {
  const auto arrives = [&](const std::string& sql, Cell::Kind kind, const std::string& text) {
    load(type_in_catalogue(sql), {text}, kind);
    const auto values = read("loaded");
    return values.empty() ? std::string("refused") : values.begin()->second;
  };
  using Kind = Cell::Kind;
  EXPECT_EQ(arrives("int4", Kind::number, "5.0"), "5");
  EXPECT_EQ(arrives("int8", Kind::number, "1e3"), "1000");
  EXPECT_EQ(arrives("int4", Kind::number, "5.5"), "refused");
  EXPECT_EQ(arrives("int4", Kind::boolean, "true"), "refused");
  EXPECT_EQ(arrives("text", Kind::number, "1e400"), "1e400");
  EXPECT_EQ(arrives("text", Kind::boolean, "true"), "true");
  EXPECT_EQ(arrives("text", Kind::json, "{\"a\": 1}"), "{\"a\": 1}");
  EXPECT_EQ(arrives("text", Kind::bytes, std::string("\0\xff", 2)), "\\x00ff");
  EXPECT_EQ(arrives("boolean", Kind::boolean, "false"), "false");
  EXPECT_EQ(arrives("boolean", Kind::number, "1"), "true");
  EXPECT_EQ(arrives("jsonb", Kind::number, "1.50"), "1.50");
  EXPECT_EQ(arrives("bytea", Kind::bytes, std::string("\\x\0", 3)), "\\x5c7800");
  EXPECT_EQ(arrives("uuid", Kind::bytes, std::string(16, '\x11')), "11111111-1111-1111-1111-111111111111");
  EXPECT_EQ(arrives("timestamptz", Kind::number, "20240131"), "refused");
  EXPECT_EQ(arrives("date", Kind::number, "20240131"), "refused");
  EXPECT_EQ(arrives("numeric", Kind::boolean, "true"), "refused");
}

TEST_F(LoadValueTest, TypesAreThoseOfTheCatalogue) {
  session_->execute_script("CREATE TYPE mood AS ENUM ('ok'); CREATE DOMAIN whole AS int4");
  for (const char* sql : {"mood", "whole", "inet", "int4[]", "int4range", "interval", "timetz", "\"char\"",
                          "name", "money", "xml"}) {
    EXPECT_EQ(type_in_catalogue(sql).base, Base::other) << sql;
  }
  for (const Base base :
       {Base::boolean, Base::int2, Base::int4, Base::int8, Base::numeric, Base::float4, Base::float8,
        Base::text, Base::varchar, Base::bpchar, Base::bytea, Base::date, Base::time, Base::timestamp,
        Base::timestamptz, Base::uuid, Base::json, Base::jsonb}) {
    const ColumnType type = type_of(base);
    const ColumnType found = type_in_catalogue(type.sql);
    EXPECT_EQ(found, type) << type.sql;
    EXPECT_EQ(found.sql == "character" ? "bpchar" : found.sql, type.sql);
  }
  for (const ColumnType& type : {varchar_of(7), bpchar_of(3), numeric_of({12, 4}), numeric_of({1000, 0})}) {
    const ColumnType found = type_in_catalogue(type.sql);
    EXPECT_EQ(found, type) << type.sql;
    EXPECT_EQ(found.sql, type.sql);
  }
}

}  // namespace
}  // namespace weir::load
