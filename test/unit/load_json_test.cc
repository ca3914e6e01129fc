#include <cstring>
#include <fstream>
#include <functional>
#include <random>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "base/error.h"
#include "load/read/json_reader.h"
#include "support/load_bytes.h"

namespace weir::load {
namespace {

using test::bytes_of;
using test::PiecedSource;

/// "a=1 b='x' c=null line 3", and so on: a record in one line.
std::string show(const JsonReader& reader, const Record& record) {
  if (!record.malformed.empty()) {
    return fmt::format("{}:{} {}", record.line, record.malformed_column, record.malformed);
  }
  std::string out;
  for (std::size_t i = 0; i < record.cells.size(); ++i) {
    const Cell& cell = record.cells[i];
    if (cell.kind == Cell::Kind::absent) continue;
    if (!out.empty()) out += ' ';
    out += reader.columns()[i] + '=';
    switch (cell.kind) {
      case Cell::Kind::null: out += "null"; break;
      case Cell::Kind::text: out += fmt::format("'{}'", cell.text); break;
      case Cell::Kind::json: out += fmt::format("<{}>", cell.text); break;
      default: out += cell.text;
    }
  }
  return out;
}

std::vector<std::string> read_all(JsonReader& reader) {
  std::vector<std::string> out;
  while (const auto record = reader.next()) out.push_back(show(reader, *record));
  return out;
}

std::vector<std::string> read_json(const std::string& text, JsonOptions options = {}) {
  JsonReader reader(bytes_of(text), options);
  std::vector<std::string> whole = read_all(reader);
  // Where a block of the input ends is no business of the records.
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
    JsonReader again(std::make_unique<PiecedSource>(text, piece), options);
    EXPECT_EQ(read_all(again), whole) << "in pieces of " << piece;
  }
  return whole;
}

std::string read_one(const std::string& line, JsonOptions options = {}) {
  const std::vector<std::string> records = read_json(line, std::move(options));
  return records.size() == 1 ? records[0] : fmt::format("{} records", records.size());
}

using Lines = std::vector<std::string>;

TEST(LoadJson, ValuesComeAsTheyAreWritten) {
  EXPECT_EQ(read_one(R"({"a":1,"b":"x","c":true,"d":false,"e":null})"), "a=1 b='x' c=true d=false e=null");
  EXPECT_EQ(read_one(R"({"n":100000000000000000,"m":1e400,"d":0.10000000000000000555})"),
            "n=100000000000000000 m=1e400 d=0.10000000000000000555");
  EXPECT_EQ(read_one(R"({"n":123456789012345678901234567890,"z":-0,"e":1E+2})"),
            "n=123456789012345678901234567890 z=-0 e=1E+2");
  EXPECT_EQ(read_one(R"({"o":{"x" : [1, 2]},"l":[ 1,{"a":"}"}],"e":{},"f":[]})"),
            R"(o=<{"x" : [1, 2]}> l=<[ 1,{"a":"}"}]> e=<{}> f=<[]>)");
  EXPECT_EQ(read_one(R"({"t":"tab\t quote\" slash\/ back\\ snow\u2603 pair\ud83d\ude00","e":""})"),
            "t='tab\t quote\" slash/ back\\ snow☃ pair😀' e=''");
  EXPECT_EQ(read_one("{\"t\":\"žluť 😀\"}"), "t='žluť 😀'");
  EXPECT_EQ(read_one("  { \"a\" :\t1 , \"b\" : \"x\" }  "), "a=1 b='x'");
  EXPECT_EQ(read_one("{}"), "");
}

TEST(LoadJson, AZeroByteInAStringIsForTheEncoderToRefuse) {
  JsonReader reader(bytes_of(R"({"a":"x\u0000y"})"));
  const auto record = reader.next();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->malformed, "");
  EXPECT_EQ(record->cells[0].text, std::string_view("x\0y", 3));
}

TEST(LoadJson, ColumnsGrowAndAbsentIsNotNull) {
  JsonReader reader(bytes_of("{\"b\":1}\n{\"a\":2}\n{\"c\":null,\"b\":3}\n{}\n"));
  EXPECT_EQ(read_all(reader), (Lines{"b=1", "a=2", "b=3 c=null", ""}));
  EXPECT_EQ(reader.columns(), (Lines{"b", "a", "c"}));
}

TEST(LoadJson, TheLastOfTheSameKeysCounts) {
  EXPECT_EQ(read_one(R"({"a":1,"b":2,"a":"x"})"), "a='x' b=2");
  EXPECT_EQ(read_one(R"({"a":1,"\u0061":null})"), "a=null");
  EXPECT_EQ(read_one(R"({"a":{"b":1},"a":{"c":2}})", {.flatten = 1}), "a__c=2");
  EXPECT_EQ(read_one(R"({"a":{"b":1},"a":7})", {.flatten = 1}), "a=7");
}

TEST(LoadJson, KeysAreWhateverTheyAre) {
  EXPECT_EQ(read_one(R"({"select":1,"Mixed Case":2,"\u017ee\u0161":3,"a\"b":4,"a\\u0062":5,"":6})"),
            "select=1 Mixed Case=2 žeš=3 a\"b=4 a\\u0062=5 =6");
  // A key that is written as another one is meant is that other one only where it means it.
  EXPECT_EQ(read_json("{\"a\\\\u0062\":1}\n{\"a\\u0062\":2}\n"), (Lines{"a\\u0062=1", "ab=2"}));
}

TEST(LoadJson, FlatteningGoesToItsDepth) {
  const std::string line = R"({"a":{"b":{"c":1},"d":[{"e":2}]},"f":{}})";
  EXPECT_EQ(read_one(line), R"(a=<{"b":{"c":1},"d":[{"e":2}]}> f=<{}>)");
  EXPECT_EQ(read_one(line, {.flatten = 1}), R"(a__b=<{"c":1}> a__d=<[{"e":2}]>)");
  EXPECT_EQ(read_one(line, {.flatten = 9}), R"(a__b__c=1 a__d=<[{"e":2}]>)");
  EXPECT_EQ(read_json("{\"a\":{\"b\":1,\"c\":2}}\n{\"a\":null}\n", {.flatten = 1}),
            (Lines{"a__b=1 a__c=2", "a__b=null a__c=null"}));
}

TEST(LoadJson, AColumnThatIsKeptAsJsonHasItsQuotes) {
  JsonReader reader(
      bytes_of("{\"a\":\"x\",\"b\":\"x\"}\n{\"a\":\"q\\\"\",\"b\":1}\n{\"a\":null}\n{\"a\":1}\n"));
  ASSERT_TRUE(reader.next());
  reader.keep_json(0);
  EXPECT_EQ(read_all(reader), (Lines{"a=<\"q\\\"\"> b=1", "a=null", "a=<1>"}));
}

TEST(LoadJson, LinesEndAsTheyLike) {
  EXPECT_EQ(read_json("\xEF\xBB\xBF{\"a\":1}\r\n\r\n\n   \t\n{\"a\":2}\n{\"a\":3}"),
            (Lines{"a=1", "a=2", "a=3"}));
  EXPECT_EQ(read_json(""), Lines{});
  EXPECT_EQ(read_json("\xEF\xBB\xBF"), Lines{});
  EXPECT_EQ(read_json("\n \n"), Lines{});
  JsonReader reader(bytes_of("\n\n{\"a\":1}\n\n{\"a\":2}"));
  EXPECT_EQ(reader.next()->line, 3);
  const auto second = reader.next();
  EXPECT_EQ(second->line, 5);
  EXPECT_EQ(second->raw, "{\"a\":2}");
}

struct Broken {
  std::string line;
  std::string expected;
};

TEST(LoadJson, WhatIsBrokenSaysWhereAndTheNextLineIsRead) {
  const std::vector<Broken> table = {
      {R"({"a":1)", "2:7 it ends in the middle of an object"},
      {R"({"a":1]})", "2:7 ',' or '}' was expected, not ']}'"},
      {R"({"a":[1}})", "2:8 ',' or ']' was expected, not '}}'"},
      {R"({"a":[1,2,]})", "2:11 a comma stands before ']'"},
      {R"({"a":1,})", "2:8 a comma stands before '}'"},
      {R"({"a":1 "b":2})", "2:8 ',' or '}' was expected, not '\"b\":2}'"},
      {R"({"a" 1})", "2:6 ':' was expected after the key, not '1}'"},
      {R"({a:1})", "2:2 a key in quotes was expected, not 'a:1}'"},
      {R"({'a':1})", "2:2 a key in quotes was expected, not ''a':1}'"},
      {R"({"a":NaN})", "2:6 JSON has no NaN"},
      {R"({"a":-Infinity})", "2:6 JSON has no -Infinity"},
      {R"({"a":nul})", "2:6 a value was expected, not 'nul}'"},
      {R"({"a":truely})", "2:6 a value was expected, not 'truely}'"},
      {R"({"a":01})", "2:6 a number begins with 0"},
      {R"({"a":1.})", "2:6 a value was expected, not '1.}'"},
      {R"({"a":+1})", "2:6 a value was expected, not '+1}'"},
      {R"({"a":1e})", "2:6 a value was expected, not '1e}'"},
      {R"({"a":"x})", "2:6 a string that begins here has no end"},
      {R"({"a":"\x"})", "2:7 a backslash stands before something that it does not escape"},
      {R"({"a":"\u12"})", "2:7 \\u wants four hexadecimal digits"},
      {R"({"a":"\ud800"})", "2:7 half of a surrogate pair, which is no character"},
      {R"({"a":"\udc00\ud800"})", "2:7 half of a surrogate pair, which is no character"},
      {R"({"a":["\ud800"]})", "2:8 half of a surrogate pair, which is no character"},
      {"{\"a\":\"x\ty\"}", "2:8 a control character stands in a string, where JSON wants \\u00.."},
      {"{\"a\":\"x\xFF\"}", "2:8 the byte 0xff is not UTF-8"},
      {"{\"\xC0\x80\":1}", "2:3 the byte 0xc0 is not UTF-8"},
      {R"({"a":1}{"a":2})", "2:8 '{\"a\":2}' stands after the end of the value"},
      {R"({"a":1}x)", "2:8 'x' stands after the end of the value"},
      {R"([{"a":1}])", "2:1 a record is a JSON object, and this is an array"},
      {R"( "text")", "2:2 a record is a JSON object, and this is a single value"},
      {"null", "2:1 a record is a JSON object, and this is a single value"},
      {"7", "2:1 a record is a JSON object, and this is a single value"},
      {"}", "2:1 a value was expected, not '}'"},
      {"{\"a\":" + std::string(1001, '[') + std::string(1001, ']') + "}",
       "2:1005 it is nested deeper than 1000 levels"},
  };
  for (const Broken& broken : table) {
    const Lines all = read_json("{\"a\":0}\n" + broken.line + "\n{\"a\":9}\n");
    EXPECT_EQ(all, (Lines{"a=0", broken.expected, "a=9"})) << broken.line;
  }
}

TEST(LoadJson, ABrokenRecordMakesNoColumns) {
  JsonReader reader(bytes_of("{\"a\":1}\n{\"new\":1,\"b\":{\"c\":2},\"worse\":tru}\n{\"a\":2}\n"),
                    {.flatten = 1});
  read_all(reader);
  EXPECT_EQ(reader.columns(), (Lines{"a"}));
}

TEST(LoadJson, ABrokenRecordShowsWhatItWas) {
  JsonReader reader(bytes_of("{\"a\":oops}\n"));
  const auto record = reader.next();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->raw, "{\"a\":oops}");
  EXPECT_EQ(record->malformed_column, 6);
}

TEST(LoadJson, AnArrayHasItsElements) {
  EXPECT_EQ(read_json(R"([{"a":1},{"a":2}])"), (Lines{"a=1", "a=2"}));
  EXPECT_EQ(
      read_json(
          "\xEF\xBB\xBF \n [\n  {\n    \"a\": 1,\n    \"b\": [1, 2]\n  },\n  {\"a\": \"],[\\\"\"}\n]\n"),
      (Lines{"a=1 b=<[1, 2]>", "a='],[\"'"}));
  EXPECT_EQ(read_json("[]"), Lines{});
  EXPECT_EQ(read_json(" [ \n ] \n"), Lines{});
  JsonReader reader(bytes_of("[\n {\"a\":1},\n\n {\"a\":2}\n]"));
  EXPECT_EQ(reader.next()->line, 2);
  EXPECT_EQ(reader.next()->line, 4);
}

TEST(LoadJson, ABrokenElementLeavesTheOthers) {
  const std::vector<Broken> table = {
      {R"([{"a":0},{"a":x},{"a":9}])", "1:15 a value was expected, not 'x}'"},
      {R"([{"a":0},7,{"a":9}])", "1:10 a record is a JSON object, and this is a single value"},
      {R"([{"a":0},,{"a":9}])", "1:10 there is no value"},
      {R"([{"a":0},{"b":1} {"c":2},{"a":9}])", "1:18 '{\"c\":2}' stands after the end of the value"},
      {"[{\"a\":0},\n{\"b\":\"x},\n{\"a\":9}]", "2:6 a string that begins here has no end"},
      {"[{\"a\":0},\n{\"b\":1,\n  \"c\":x},\n{\"a\":9}]", "2:7 a value was expected, not 'x}' (in line 3)"},
  };
  for (const Broken& broken : table) {
    EXPECT_EQ(read_json(broken.line), (Lines{"a=0", broken.expected, "a=9"})) << broken.line;
  }
  EXPECT_EQ(read_json(R"([{"a":0},])"), (Lines{"a=0", "1:10 there is no value"}));
  EXPECT_EQ(read_json("[{\"a\":0}]\n{\"a\":1}\n{\"a\":2}"),
            (Lines{"a=0", "2:1 it stands after the end of the array"}));
}

TEST(LoadJson, AnArrayThatBreaksOffIsAnError) {
  for (const char* text : {"[", "[{\"a\":1}", "[{\"a\":1},", "[{\"a\":1},{\"b\"", "[{\"a\":\"x"}) {
    JsonReader reader(bytes_of(text));
    EXPECT_THROW(read_all(reader), Error) << text;
  }
  JsonReader reader(bytes_of("{\"a\":1}\n"), {.shape = JsonShape::array});
  EXPECT_THROW(reader.next(), Error);
}

/// {"a":"xxxx.."} of any length, without having it.
class HugeRecord : public ByteSource {
 public:
  HugeRecord(std::string before, std::uint64_t filling, std::string after)
      : before_(std::move(before)), filling_(filling), after_(std::move(after)) {}
  std::size_t read(std::span<char> room) override {
    if (!before_.empty()) return give(before_, room);
    if (filling_ > 0) {
      const std::size_t count = std::min<std::uint64_t>(room.size(), filling_);
      std::memset(room.data(), 'x', count);
      filling_ -= count;
      largest = std::max(largest, room.size());
      return count;
    }
    return give(after_, room);
  }
  ReadProgress progress() const override { return {}; }
  std::size_t largest = 0;  // room that was offered

 private:
  static std::size_t give(std::string& from, std::span<char> room) {
    const std::size_t count = std::min(room.size(), from.size());
    std::memcpy(room.data(), from.data(), count);
    from.erase(0, count);
    return count;
  }
  std::string before_;
  std::uint64_t filling_;
  std::string after_;
};

TEST(LoadJson, ARecordBeyondTheLimitIsPassedOverInBoundedMemory) {
  constexpr std::uint64_t kHuge = 500ULL * 1000 * 1000;
  for (const bool array : {false, true}) {
    auto source = std::make_unique<HugeRecord>(array ? "[{\"a\":0},\n {\"a\":\"" : "{\"a\":0}\n {\"a\":\"",
                                               kHuge, array ? "\"},{\"a\":9}]" : "\"}\n{\"a\":9}\n");
    const HugeRecord& seen = *source;
    JsonReader reader(std::move(source), {.max_record_bytes = 1000000});
    EXPECT_EQ(show(reader, *reader.next()), "a=0");
    const auto huge = reader.next();
    ASSERT_TRUE(huge);
    EXPECT_EQ(huge->line, 2);
    EXPECT_EQ(huge->malformed, "it is longer than 976.6 KiB, the limit for one record (--max-record)");
    EXPECT_EQ(huge->malformed_column, array ? 2 : 1);
    EXPECT_LE(huge->raw.size(), 65536);
    EXPECT_TRUE(huge->raw.starts_with("{\"a\":\"xxx"));
    EXPECT_EQ(show(reader, *reader.next()), "a=9");
    EXPECT_FALSE(reader.next());
    EXPECT_LE(seen.largest, 2000000);
  }
}

TEST(LoadJson, TheLimitIsExact) {
  for (const std::string shape : {"{}\n", "[{},{}]"}) {
    const auto records = [&](std::size_t limit) {
      const std::string text = "{\"a\":\"12345\"}";  // 13 bytes
      return read_json(shape.front() == '[' ? "[" + text + "," + text + "]" : text + "\n" + text,
                       {.max_record_bytes = limit});
    };
    EXPECT_EQ(records(13), (Lines{"a='12345'", "a='12345'"}));
    EXPECT_TRUE(
        records(12).at(0).ends_with("it is longer than 12 B, the limit for one record (--max-record)"));
    EXPECT_EQ(records(12).size(), 2);
  }
}

TEST(LoadJson, KeysWithoutEndAreRefused) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += fmt::format("{{\"k{}\":1}}\n", i);
  JsonReader enough(bytes_of(text), {.max_columns = 30});
  EXPECT_EQ(read_all(enough).size(), 30);
  JsonReader reader(bytes_of(text), {.max_columns = 29});
  EXPECT_THROW(read_all(reader), Error);
}

TEST(LoadJson, TenThousandColumnsInAnyOrder) {
  std::vector<int> order(10000);
  for (int i = 0; i < 10000; ++i) order[static_cast<std::size_t>(i)] = i;
  std::mt19937 random(7);
  std::string text;
  for (int record = 0; record < 3; ++record) {
    text += '{';
    for (const int i : order)
      text += fmt::format("{}\"column{}\":{}", text.back() == '{' ? "" : ",", i, i + record);
    text += "}\n";
    std::shuffle(order.begin(), order.end(), random);
  }
  JsonReader reader(bytes_of(text));
  for (int record = 0; record < 3; ++record) {
    const auto got = reader.next();
    ASSERT_TRUE(got);
    ASSERT_EQ(got->cells.size(), 10000);
    for (std::size_t i = 0; i < 10000; ++i) {
      ASSERT_EQ(got->cells[i].text, std::to_string(static_cast<int>(i) + record)) << reader.columns()[i];
    }
  }
}

TEST(LoadJson, SeveralInputsShareTheirColumns) {
  JsonReader reader(bytes_of("{\"a\":1}"), {.file = "one"});
  EXPECT_EQ(reader.next()->file, "one");
  EXPECT_FALSE(reader.next());
  reader.open(bytes_of("[{\"b\":1}]"), "two");
  const auto record = reader.next();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->file, "two");
  EXPECT_EQ(record->line, 1);
  EXPECT_EQ(reader.columns(), (Lines{"a", "b"}));
}

TEST(JsonBreak, RulesSayWhatIsTakenBesidesTheGrammar) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  struct Taken {
    std::string text;
    bool record;
    bool json;
    bool jsonb;
  };
  for (const Taken& each :
       {Taken{R"({"a":[1,"\u00e9",null]})", true, true, true}, Taken{R"("\u0000")", true, true, false},
        Taken{R"("\ud800")", false, true, false}, Taken{"1e131072", true, true, false},
        Taken{"\"\xFF\"", false, true, true},  // whether it is UTF-8, others have asked
        Taken{nested(1000), true, true, true}, Taken{nested(1001), false, true, true},
        Taken{nested(5001), false, false, false}, Taken{"01", false, false, false},
        Taken{"", false, false, false}}) {
    SCOPED_TRACE(each.text.substr(0, 30));
    EXPECT_EQ(!find_json_break(each.text), each.record);
    EXPECT_EQ(!find_json_break(each.text, kJsonRules), each.json);
    EXPECT_EQ(!find_json_break(each.text, kJsonbRules), each.jsonb);
  }
}

}  // namespace
}  // namespace weir::load
