// The server is the oracle: what its input functions take and what comes out is what the encoder takes and
// what arrives through COPY BINARY.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "load/value/row_encoder.h"
#include "pg/copy.h"
#include "support/database.h"

namespace weir::load {
namespace {

using Words = std::vector<std::string>;

/// What became of a text: its value as the server shows it, or nothing where it was refused.
using Outcome = std::optional<std::string>;

std::string shown(const Outcome& outcome) { return outcome ? "[" + *outcome + "]" : "refused"; }

class LoadValueTest : public test::PgTest {
 protected:
  void SetUp() override {
    PgTest::SetUp();
    session_.emplace(session());
    session_->execute_script(R"(
      SET timezone = 'UTC';
      CREATE FUNCTION ask(inputs text[], expression text) RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        FOR i IN 1 .. coalesce(array_length(inputs, 1), 0) LOOP
          BEGIN
            EXECUTE 'INSERT INTO wanted VALUES ($2, ' || expression || ')' USING inputs[i], i;
          EXCEPTION WHEN OTHERS THEN NULL;
          END;
        END LOOP;
      END $$;)");
  }
  void TearDown() override {
    session_.reset();
    PgTest::TearDown();
  }

  ColumnType type_in_catalogue(const std::string& sql) {
    session_->execute_script("DROP TABLE IF EXISTS wanted, loaded; CREATE TABLE wanted (n int, v " + sql +
                             "); CREATE TABLE loaded (v " + sql + ", n int8)");
    const auto row = session_->execute(
        "SELECT atttypid::int8, atttypmod, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'wanted'::regclass AND attname = 'v'");
    return type_of(static_cast<pg::Oid>(row[0].get<std::int64_t>(0)), row[0].get<std::int32_t>(1),
                   row[0].get<std::string>(2));
  }

  std::map<std::size_t, std::string> read(const std::string& table) {
    std::map<std::size_t, std::string> values;
    const auto rows = session_->execute("SELECT n::int8, v::text FROM " + table);
    for (int i = 0; i < rows.rows(); ++i) {
      values.emplace(static_cast<std::size_t>(rows[i].get<std::int64_t>(0)), rows[i].get<std::string>(1));
    }
    return values;
  }

  void load(const ColumnType& type, const Words& inputs, Cell::Kind kind = Cell::Kind::text) {
    const RowEncoder encoder({type});
    std::string out;
    RowEncoder::begin(out);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Cell cell{.kind = kind, .text = inputs[i]};
      const std::int64_t number = static_cast<std::int64_t>(i) + 1;
      const auto misfit = encoder.add({&cell, 1}, {&number, 1}, out);
      EXPECT_LT(misfit ? misfit->reason.size() : 0, 400);
    }
    RowEncoder::end(out);
    pg::CopyIn copy(*session_, "COPY loaded FROM STDIN (FORMAT binary)");
    copy.write(out);
    copy.finish();
  }

  /// Each input, the server's outcome and ours where they differ.
  std::map<std::string, std::pair<Outcome, Outcome>> differences(const std::string& sql,
                                                                 const Words& inputs) {
    const ColumnType type = type_in_catalogue(sql);
    // A cast to varchar(n) cuts silently; what COPY and INSERT do is the assignment.
    const bool has_length = type.base == Base::varchar || type.base == Base::bpchar;
    session_->execute("SELECT ask($1, $2)", inputs, has_length ? std::string("$1") : "$1::" + sql);
    load(type, inputs);
    const auto wanted = read("wanted");
    const auto loaded = read("loaded");
    const auto find = [](const auto& values, std::size_t n) {
      const auto found = values.find(n);
      return found == values.end() ? Outcome() : Outcome(found->second);
    };
    std::map<std::string, std::pair<Outcome, Outcome>> different;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Outcome server = find(wanted, i + 1);
      const Outcome ours = find(loaded, i + 1);
      if (server != ours) different.emplace(inputs[i], std::pair(server, ours));
    }
    return different;
  }

  /// The same but for `only_server`, which the server takes and we do not.
  void expect_same(const std::string& sql, const Words& inputs, const Words& only_server = {}) {
    Words all = inputs;
    all.insert(all.end(), only_server.begin(), only_server.end());
    const auto different = differences(sql, all);
    for (const auto& [input, outcomes] : different) {
      const bool known =
          std::find(only_server.begin(), only_server.end(), input) != only_server.end() && !outcomes.second;
      EXPECT_TRUE(known) << sql << " of '" << input << "': the server " << shown(outcomes.first) << ", we "
                         << shown(outcomes.second);
    }
    for (const std::string& input : only_server) {
      EXPECT_TRUE(different.contains(input)) << sql << " of '" << input << "': no exception any more";
    }
  }

  std::optional<pg::Session> session_;
};

/// Texts that are nearly values: pieces of `seeds` cut, swapped and spoilt with `letters`.
Words spoilt(const Words& seeds, std::string_view letters, int count) {
  std::mt19937 random(20240131);  // NOLINT: the same every time
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::set<std::string> texts;
  for (int i = 0; i < count; ++i) {
    std::string text = seeds[below(seeds.size())];
    for (std::size_t changes = 1 + below(3); changes > 0 && !text.empty(); --changes) {
      const std::size_t at = below(text.size());
      const char letter = letters[below(letters.size())];
      switch (below(4)) {
        case 0: text[at] = letter; break;
        case 1: text.insert(at, 1, letter); break;
        case 2: text.erase(at, 1); break;
        default: text.append(1, letter); break;
      }
    }
    texts.insert(text);
  }
  return {texts.begin(), texts.end()};
}

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

const Words kTimes{"2024-01-31 23:59:59",
                   "2024-01-31T23:59:59",
                   "2024-01-31t23:59:59",
                   "2024-01-31 23:59",
                   "2024-01-31",
                   "20240131",
                   "2024/01/31",
                   "2024-1-5",
                   "2024-1-5 1:2:3",
                   "2024-01-31  10:00:00",
                   "2024-01-31 10:00:00.5",
                   "2024-01-31 10:00:00.123456",
                   "2024-01-31 10:00:00.1234565",
                   "2024-01-31 10:00:00.1234575",
                   "2024-01-31 10:00:00.12345649999",
                   "2024-01-31 10:00:00.9999995",
                   "2024-01-31 10:00:00.9999994",
                   "2024-01-31 10:00:00.0000005",
                   "2024-01-31 23:59:59.9999999",
                   "2024-01-31T10:00:00Z",
                   "2024-01-31T10:00:00z",
                   "2024-01-31T10:00:00 UTC",
                   "2024-01-31T10:00:00utc",
                   "2024-01-31 10:00:00+02",
                   "2024-01-31 10:00:00-02:00",
                   "2024-01-31 10:00:00+0200",
                   "2024-01-31 10:00:00+2",
                   "2024-01-31 10:00:00 +02:30",
                   "2024-01-31 10:00:00+230",
                   "2024-01-31 10:00:00+15:59",
                   "2024-01-31 10:00:00-15:59:59",
                   "2024-01-31 10:00:00+16",
                   "2024-01-31 10:00:00+02:60",
                   "2024-01-31 10:00:00+1559",
                   "2024-01-31 10:00:00+1660",
                   "2024-01-31 10:00:00+02:30:15",
                   "2024-01-31 10:00:00.5+05:45",
                   "2024-02-29",
                   "2023-02-29",
                   "1900-02-29",
                   "2000-02-29",
                   "2100-02-29 10:00",
                   "2024-02-30",
                   "2024-13-01",
                   "2024-00-10",
                   "2024-01-00",
                   "2024-01-32",
                   "2024-04-31",
                   "0000-01-01",
                   "0001-01-01",
                   "0001-01-01 BC",
                   "0001-01-01 10:00:00 BC",
                   "0005-02-29 BC",
                   "0004-02-29 BC",
                   "0044-03-15 12:00:00+01 BC",
                   "0044-03-15 AD",
                   "0044-03-15 bc",
                   "4714-11-24 BC",
                   "4714-11-23 BC",
                   "4714-11-24 00:00:00 BC",
                   "4714-11-24 00:00:00+02 BC",
                   "4714-11-23 23:00:00-02 BC",
                   "4714-11-23 23:59:59.999999 BC",
                   "4715-01-01 BC",
                   "294276-12-31 23:59:59.999999",
                   "294276-12-31 23:59:59.9999999",
                   "294277-01-01 00:00:00",
                   "294277-01-01 01:00:00+02",
                   "294276-12-31 23:00:00-02",
                   "5874897-12-31",
                   "5874898-01-01",
                   "9999999-01-01",
                   "10000-01-01",
                   "123-04-05",
                   "infinity",
                   "-infinity",
                   "Infinity",
                   "-INFINITY",
                   " infinity ",
                   "inf",
                   "2024-01-31 24:00:00",
                   "2024-12-31 24:00:00",
                   "2024-01-31 24:00:01",
                   "2024-01-31 24:01",
                   "2024-01-31 25:00",
                   "2024-01-31 23:60",
                   "2024-01-31 23:59:60",
                   "2024-01-31 10:00:60",
                   "2024-01-31 10:00:60.5",
                   "2024-01-31 10:00:61",
                   "2024-01-31 24:00:00+02",
                   "20240131T101112",
                   "20240131 101112",
                   "20240131T1011",
                   "2024-01-31T101112.5",
                   "20240131T101112Z",
                   "20240131T101112.123456+02",
                   "  2024-01-31 10:00:00  ",
                   "2024-01-31 10:00:00 ",
                   "",
                   " ",
                   "-",
                   "abc",
                   "1700000000000",
                   "1700000000",
                   "1.5",
                   "20241301",
                   "2024-01-31x",
                   "2024-01-31 x",
                   "2024-01-31 10",
                   "2024-01-31T",
                   "2024-01/31",
                   "12:30",
                   "12:30:45",
                   "12:30:45.678",
                   "24:00:00",
                   "24:00:01",
                   "23:59:60",
                   "00:00:60",
                   "12:30:45+02",
                   "12:60",
                   "1:2:3",
                   "12:30:45.9999999",
                   "23:59:59.9999999",
                   "2000-01-01",
                   "1999-12-31 23:59:59.999999",
                   "1969-12-31",
                   "1582-10-10",
                   "2024-01-31 00:00:00.000000",
                   "2024-01-31 10:00:00.1234567890123456789012345678901234567890"};

const Words kClocks{"12:30",
                    "12:30:45",
                    "12:30:45.678",
                    "24:00:00",
                    "24:00:01",
                    "23:59:60",
                    "00:00:60",
                    "12:30:45+02",
                    "12:30 UTC",
                    "12:60",
                    "1:2:3",
                    "12:30:45.9999999",
                    "23:59:59.9999999",
                    "23:59:59.9999994",
                    "25:00",
                    " 1:00 ",
                    "1:2:3:4",
                    "12",
                    "",
                    "12:",
                    ":12",
                    "12:3x",
                    "infinity",
                    "23:59:60.5",
                    "00:00:00.0000005"};

// What the server reads by its settings or its own customs, and we do not.
const Words kExotic{"Jan 31 2024",
                    "31 January 2024",
                    "01/31/2024",
                    "2024.01.31",
                    "2024-01-31 10:00 PM",
                    "2024-01-31 10:00:00 Europe/Berlin",
                    "2024-01-31 10:00:00 CET",
                    "2024-01-31 10:00:00 GMT",
                    "2024-031",
                    "epoch",
                    "now",
                    "today",
                    "tomorrow",
                    "J2451187",
                    "24-01-31",
                    "240131",
                    "2024-01-31 -infinity"};

TEST_F(LoadValueTest, DatesAndTimes) {
  for (const char* sql :
       {"date", "timestamp", "timestamptz", "timestamp(0)", "timestamptz(3)", "timestamp(6)"}) {
    expect_same(sql, kTimes);
    const auto exotic = differences(sql, kExotic);
    for (const auto& [input, outcomes] : exotic) {
      EXPECT_FALSE(outcomes.second) << sql << " of " << input << ": we " << shown(outcomes.second);
    }
    EXPECT_GE(exotic.size(), kExotic.size() - 2) << sql;
  }
  for (const char* sql : {"date", "timestamp", "timestamptz"}) expect_same(sql, kClocks);
  for (const char* sql : {"time", "time(0)"}) {
    expect_same(sql, kClocks, {"101112", "2024", "12:", "T10:11", "10:11 AM", "allballs", "2024-01-31 10:11"});
    for (const auto& [input, outcomes] : differences(sql, kTimes)) {
      EXPECT_FALSE(outcomes.second) << sql << " of " << input << ": we " << shown(outcomes.second);
    }
  }
}

TEST_F(LoadValueTest, WhatWeTakeForATimeTheServerTakesForTheSame) {
  const Words inputs = spoilt({"2024-01-31 23:59:59.123456+02:00", "2024-02-29T10:11:12Z", "20240131T101112",
                               "0044-03-15 12:00:00 BC", "12:30:45.5", "2024-1-5"},
                              "0123456789-+:./ TZ", 6000);
  for (const char* sql : {"date", "time", "timestamp", "timestamptz"}) {
    for (const auto& [input, outcomes] : differences(sql, inputs)) {
      EXPECT_FALSE(outcomes.second) << sql << " of '" << input << "': the server " << shown(outcomes.first)
                                    << ", we " << shown(outcomes.second);
    }
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
