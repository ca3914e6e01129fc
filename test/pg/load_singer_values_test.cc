// Values and names of a tap, as the server has them afterwards.
#include <gtest/gtest.h>

#include "load_singer_fixture.h"

namespace weir::load {
namespace {

using test::has;
using LoadSingerValuesTest = SingerTest;

TEST_F(LoadSingerValuesTest, EveryKindOfProperty) {
  const std::string schema = tap_schema("v", R"("id":{"type":"integer"},
"big":{"type":["null","integer"]},"huge":{"type":"integer","maximum":1000000000000000000000000},
"exact":{"type":["null","number"]},"flag":{"type":["boolean","null"]},
"at":{"type":["null","string"],"format":"date-time"},"day":{"type":"string","format":"date"},
"clock":{"type":"string","format":"time"},"who":{"type":"string","format":"uuid"},
"hex":{"type":["string","null"],"contentEncoding":"base16"},"b64":{"type":"string","contentEncoding":"base64"},
"either":{"type":["integer","string"]},"any":{"anyOf":[{"type":"string","format":"date-time"},{"type":"null"}]},
"text_or_time":{"anyOf":[{"type":"string","format":"date-time"},{"type":"string"}]},
"list":{"type":"array","items":{"type":"integer"}},"nested":{"type":"object","properties":{"a":{"type":"integer"}}},
"open":{})");
  std::string one_line = schema;
  std::erase(one_line, '\n');
  tap(one_line + "\n" +
          tap_record(
              "v",
              R"("id":1,"big":100000000000000000,"huge":123456789012345678901234,"exact":0.10000000000000000000000001,"flag":true,"at":"2026-03-01T12:30:00.123456+02:00","day":"2026-02-28","clock":"23:59:59","who":"6f1ed002-ab5f-4c3d-9f0a-0242ac120002","hex":"00ff7e","b64":"AP9+","either":5,"any":"2026-01-01T00:00:00Z","text_or_time":"soon","list":[1,[2],"3"],"nested":{"a":1,"more":null},"open":"as it is")") +
          tap_record(
              "v",
              R"("id":2,"big":-9223372036854775808,"exact":null,"at":"2026-03-01T12:30:00Z","hex":"","either":"five","list":[],"nested":null,"open":17)") +
          tap_record("v", R"("id":3)"),
      into("v"));
  EXPECT_EQ(
      value(
          "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute WHERE "
          "attrelid = 'v'::regclass AND attnum > 1"),
      "bigint,numeric,numeric,boolean,timestamp with time zone,date,time without time zone,uuid,bytea,bytea,"
      "text,timestamp with time zone,text,jsonb,jsonb,jsonb");
  const auto of = [&](const std::string& what, int id = 1) {
    return value("SELECT " + what + " FROM v WHERE id = " + std::to_string(id));
  };
  EXPECT_EQ(of("big"), "100000000000000000");
  EXPECT_EQ(of("big", 2), "-9223372036854775808");
  EXPECT_EQ(of("huge"), "123456789012345678901234");
  EXPECT_EQ(of("exact"), "0.10000000000000000000000001");
  EXPECT_EQ(of("exact", 2), "null");
  EXPECT_EQ(of("flag"), "true");
  EXPECT_EQ(of("at AT TIME ZONE 'UTC'"), "2026-03-01 10:30:00.123456");
  EXPECT_EQ(of("at AT TIME ZONE 'UTC'", 2), "2026-03-01 12:30:00");
  EXPECT_EQ(of("day"), "2026-02-28");
  EXPECT_EQ(of("clock"), "23:59:59");
  EXPECT_EQ(of("who"), "6f1ed002-ab5f-4c3d-9f0a-0242ac120002");
  EXPECT_EQ(of("hex"), "\\x00ff7e");
  EXPECT_EQ(of("hex", 2), "\\x");
  EXPECT_EQ(of("b64"), "\\x00ff7e");
  EXPECT_EQ(of("either") + of("either", 2), "5five");
  EXPECT_EQ(of("\"any\" AT TIME ZONE 'UTC'"), "2026-01-01 00:00:00");
  EXPECT_EQ(of("text_or_time"), "soon");
  EXPECT_EQ(of("list"), R"([1, [2], "3"])");
  EXPECT_EQ(of("list", 2), "[]");
  EXPECT_EQ(of("nested"), R"({"a": 1, "more": null})");
  EXPECT_EQ(of("nested", 2), "null");
  EXPECT_EQ(of("open") + of("open", 2), R"("as it is"17)");
  EXPECT_EQ(of("num_nonnulls(big, huge, exact, flag, at, day, hex, either, list, nested, open)", 3), "0");
}

TEST_F(LoadSingerValuesTest, AValueThatDoesNotFitIsARejectWithItsLine) {
  const std::string schema = tap_schema(
      "v",
      R"("id":{"type":"integer"},"at":{"type":"string","format":"date-time"},"hex":{"type":"string","contentEncoding":"base16"})");
  for (const auto& [bad, reason] : {std::pair<std::string, std::string>{R"("id":1,"at":"soon")", "column at"},
                                    {R"("id":1,"hex":"0")", "is not base16"},
                                    {R"("id":9223372036854775808)", "column id"},
                                    {R"("id":1.5)", "column id"}}) {
    SingerLoadOptions options = into("v");
    options.each.contract = Contract::quarantine;  // with `evolve` the column becomes wider, where it can
    const Error refused = failure(schema + tap_record("v", bad) + tap_state(R"({"at":1})"), options);
    EXPECT_EQ(refused.exit_code(), ExitCode::refused) << bad;
    EXPECT_TRUE(has(refused.what(), "line 2") && has(refused.what(), reason)) << refused.what();
  }
  EXPECT_EQ(take_told(), Texts{});
}

TEST_F(LoadSingerValuesTest, NestedObjectsBecomeColumnsWhereThatIsAsked) {
  const std::string lines =
      tap_schema(
          "o",
          R"("id":{"type":"integer"},"who":{"type":"object","properties":{"name":{"type":"string"},"home":{"type":"object","properties":{"town":{"type":"string"}}}}})") +
      tap_record("o", R"("id":1,"who":{"name":"Jan","home":{"town":"Brno"}})") +
      tap_record("o", R"("id":2,"who":null)");
  tap(lines, into("plain"));
  EXPECT_EQ(value("SELECT who #>> '{home,town}' FROM plain WHERE id = 1"), "Brno");
  SingerLoadOptions one = into("one");
  one.flatten = 1;
  tap(lines, one);
  EXPECT_EQ(value("SELECT who__name || ' ' || (who__home->>'town') FROM one WHERE id = 1"), "Jan Brno");
  SingerLoadOptions two = into("two");
  two.flatten = 2;
  tap(lines, two);
  EXPECT_EQ(all("id, who__name, who__home__town", "two"), "1 Jan Brno, 2");
}

TEST_F(LoadSingerValuesTest, NamesThatAreOdd) {
  const std::string long_name(70, 'n');
  const std::string lines =
      tap_schema(
          "select",
          R"("ID":{"type":"integer"},"id":{"type":"integer"},"order":{"type":"string"},"with space":{"type":"string"},"ž\"q\"":{"type":"string"},")" +
              long_name + R"(":{"type":"string"},"":{"type":"string"})",
          R"("ID","with space")") +
      tap_record("select", R"("ID":1,"id":2,"order":"o","with space":"w","ž\"q\"":"q",")" + long_name +
                               R"(":"long","":"empty")");
  for (int time = 0; time < 2; ++time) tap(lines, into("*"));
  EXPECT_EQ(told_, (Texts{"select: upsert +1 ~0 -0", "select: upsert +0 ~0 -0"}));
  EXPECT_EQ(value(R"(SELECT concat_ws(' ', "ID", id, "order", "with space", "ž""q""") FROM "select")"),
            "1 2 o w q");
  EXPECT_EQ(value("SELECT " + std::string(63, 'n') + " FROM \"select\""), "long");
  EXPECT_EQ(value("SELECT count(*) FROM pg_index WHERE indrelid = '\"select\"'::regclass AND indisprimary"),
            "1");
}

TEST_F(LoadSingerValuesTest, ATableOfTheUsersIsFilledByItsOwnNamesAndTypes) {
  run("CREATE TABLE mine (item_id int4 PRIMARY KEY, label varchar(10), seen timestamptz, note text DEFAULT "
      "'x')");
  tap(tap_schema("s", R"("itemId":{"type":"integer"},"Label":{"type":"string"},"seen":{"type":"string"})",
                 R"("itemId")") +
          tap_record("s", R"("itemId":1,"Label":"a","seen":"2026-01-01T00:00:00Z")"),
      into("mine"));
  EXPECT_EQ(value("SELECT concat_ws(' ', item_id, label, seen AT TIME ZONE 'UTC', note) FROM mine"),
            "1 a 2026-01-01 00:00:00 x");
  EXPECT_EQ(value("SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = "
                  "'mine'::regclass AND attnum > 0"),
            "item_id,label,seen,note");
}

}  // namespace
}  // namespace weir::load
