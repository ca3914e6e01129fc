#include <limits>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "base/text.h"
#include "load/value/inference.h"
#include "load/value/names.h"
#include "load/value/row_encoder.h"
#include "load/value/text_check.h"
#include "load/value/widen.h"

namespace weir::load {
namespace {

using namespace std::string_view_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = Cell::Kind;

std::string reason_of(const ColumnType& type, std::string_view text, EncodeOptions options = {},
                      Kind kind = Kind::text) {
  const Cell cell{.kind = kind, .text = text};
  std::string out = "kept";
  const auto misfit = RowEncoder({type}, options).add({&cell, 1}, {}, out);
  if (misfit) {
    EXPECT_EQ(out, "kept") << "a row that does not fit leaves nothing behind";
    EXPECT_FALSE(misfit->reason.empty());
  }
  return misfit ? misfit->reason : "fits";
}
std::string reason_of(Base base, std::string_view text) { return reason_of(type_of(base), text); }

std::string row_of(const ColumnType& type, std::string_view text, EncodeOptions options = {}) {
  const Cell cell{.kind = Kind::text, .text = text};
  std::string out;
  EXPECT_FALSE(RowEncoder({type}, options).add({&cell, 1}, {}, out)) << text;
  return out;
}

TEST(LoadEncoder, SaysWhatDoesNotFit) {
  EXPECT_EQ(reason_of(Base::int4, "12x"), "'12x' is no int4");
  EXPECT_EQ(reason_of(Base::int2, "70000"), "'70000' is out of the range of int2");
  EXPECT_EQ(reason_of(Base::text, "abc\0d"sv), "a zero byte at 3, which PostgreSQL's text cannot hold");
  EXPECT_EQ(reason_of(Base::text, "ok \xff"), "the byte 0xff at 3 is not UTF-8");
  EXPECT_EQ(reason_of(varchar_of(3), "abcde"), "5 characters are too many for varchar(3): 'abcde'");
  EXPECT_EQ(reason_of(numeric_of({5, 2}), "1000"), "'1000' is out of the range of numeric(5,2)");
  EXPECT_EQ(reason_of(Base::timestamptz, "yesterday"),
            "'yesterday' is no timestamptz in a form like 2024-01-31 23:59:59.5+01:00");
  EXPECT_EQ(reason_of(Base::date, "2023-02-29"), "'2023-02-29' is out of the range of date");
  EXPECT_EQ(reason_of(Base::jsonb, "[1,"), "'[1,' is no jsonb: it ends in the middle of an array (at 3)");
  EXPECT_EQ(reason_of(Base::int8, "\x1b[2J"), "'\\x1b[2J' is no int8");
}

TEST(LoadEncoder, QuotesNoMoreThanSixtyCharacters) {
  for (const std::string& text : {std::string(100'000, 'x'), std::string(1000, '\xff')}) {
    EXPECT_LT(reason_of(Base::int4, text).size(), 100);
  }
  std::string wide;
  for (int i = 0; i < 200; ++i) wide += "ž";
  EXPECT_EQ(load::quoted(wide).size(), 59 * 2 + 3 + 2) << "59 characters, the ellipsis and two quotes";
}

TEST(LoadEncoder, FindsTheFirstByteThatIsNoText) {
  for (std::size_t length : {1U, 7U, 8U, 9U, 63U, 64U, 65U, 100U, 200U}) {
    for (std::size_t at = 0; at < length; ++at) {
      for (const char bad : {'\0', '\xff', '\x80', '\xc3'}) {
        std::string text(length, 'x');
        text[at] = bad;
        ASSERT_EQ(find_text_fault(text), at) << length;
        if (at >= 2) {
          text.replace(at - 2, 2, "ž");
          ASSERT_EQ(find_text_fault(text), at) << length;
        }
      }
      std::string good(length, 'x');
      if (at + 2 <= length) good.replace(at, 2, "ž");
      ASSERT_EQ(find_text_fault(good), std::nullopt);
    }
  }
}

TEST(LoadEncoder, ARowHasItsColumnsAndTheStagesNumbers) {
  const std::vector<Cell> cells{{.kind = Kind::text, .text = "7"}, {.kind = Kind::null}};
  const std::vector<std::int64_t> numbers{258};
  const RowEncoder encoder({type_of(Base::int4), type_of(Base::text), type_of(Base::text)});
  std::string out;
  ASSERT_FALSE(encoder.add(cells, numbers, out));
  EXPECT_EQ(out,
            "\x00\x04"
            "\x00\x00\x00\x04\x00\x00\x00\x07"
            "\xff\xff\xff\xff"
            "\xff\xff\xff\xff"
            "\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x01\x02"sv);
  const std::vector<Cell> many(4);
  const auto misfit = encoder.add(many, {}, out);
  ASSERT_TRUE(misfit);
  EXPECT_EQ(misfit->reason, "4 values for 3 columns");
}

TEST(LoadEncoder, ATimeWithoutAZoneIsUtcUnlessSaidOtherwise) {
  const ColumnType type = type_of(Base::timestamptz);
  EXPECT_EQ(row_of(type, "2024-01-31 10:00:00"), row_of(type, "2024-01-31 10:00:00Z"));
  const EncodeOptions berlin{.zone_offset = 3600};
  EXPECT_EQ(row_of(type, "2024-01-31 10:00:00", berlin), row_of(type, "2024-01-31 10:00:00+01"));
  EXPECT_EQ(row_of(type, "2024-01-31 10:00:00+03", berlin), row_of(type, "2024-01-31 07:00:00Z"));
}

TEST(LoadEncoder, TextOfAJsonSourceIsAString) {
  const EncodeOptions strings{.text_is_json = false};
  EXPECT_EQ(row_of(type_of(Base::jsonb), "a \"b\"", strings),
            row_of(type_of(Base::jsonb), "\"a \\\"b\\\"\""));
  EXPECT_THAT(reason_of(type_of(Base::jsonb), "a\0b"sv, strings), HasSubstr("a zero byte at 1"));
  EXPECT_THAT(reason_of(type_of(Base::jsonb), std::string(5001, '[') + std::string(5001, ']')),
              HasSubstr("deeper than 5000 levels"));
}

// --- widening -------------------------------------------------------------------------------------------

rc::Gen<ColumnType> any_type() {
  return rc::gen::exec([] {
    const auto small = [](int most) { return *rc::gen::inRange(1, most); };
    switch (*rc::gen::inRange(0, 6)) {
      case 0: return varchar_of(static_cast<std::size_t>(small(20)));
      case 1: return bpchar_of(static_cast<std::size_t>(small(20)));
      case 2: return numeric_of({.precision = small(1001), .scale = *rc::gen::inRange(-20, 400)});
      case 3: {
        ColumnType type = type_of(*rc::gen::element(Base::time, Base::timestamp, Base::timestamptz));
        type.modifier = *rc::gen::inRange(0, 7);
        return type;
      }
      case 4: return type_of(*rc::gen::element<pg::Oid>(869, 1186, 3904), *rc::gen::element(-1, 5), "other");
      default: return type_of(static_cast<Base>(*rc::gen::inRange(0, static_cast<int>(Base::other))));
    }
  });
}

RC_GTEST_PROP(LoadWiden, IsAJoin, ()) {
  const ColumnType a = *any_type();
  const ColumnType b = *any_type();
  const ColumnType c = *any_type();
  RC_ASSERT(widened(a, a) == a);
  RC_ASSERT(widened(a, b) == widened(b, a));
  RC_ASSERT(widened(widened(a, b), c) == widened(a, widened(b, c)));
  RC_ASSERT(can_hold(widened(a, b), a));
  RC_ASSERT(can_hold(widened(a, b), b));
}

TEST(LoadWiden, KnownPairs) {
  const auto join = [](Base a, Base b) { return widened(type_of(a), type_of(b)).base; };
  EXPECT_EQ(join(Base::int4, Base::int8), Base::int8);
  EXPECT_EQ(join(Base::int2, Base::float4), Base::float4);
  EXPECT_EQ(join(Base::int4, Base::float4), Base::float8);
  EXPECT_EQ(join(Base::int8, Base::float8), Base::numeric);
  EXPECT_EQ(join(Base::boolean, Base::int8), Base::text);
  EXPECT_EQ(join(Base::date, Base::timestamp), Base::timestamp);
  EXPECT_EQ(join(Base::timestamp, Base::timestamptz), Base::text);
  EXPECT_EQ(join(Base::json, Base::jsonb), Base::jsonb);
  EXPECT_EQ(join(Base::varchar, Base::text), Base::text);
  EXPECT_EQ(widened(varchar_of(3), varchar_of(9)).sql, "character varying(9)");
  EXPECT_EQ(widened(numeric_of({5, 2}), type_of(Base::int4)).sql, "numeric(12,2)");
  EXPECT_EQ(widened(numeric_of({5, 2}), numeric_of({4, 3})).sql, "numeric(6,3)");
  EXPECT_EQ(widened(numeric_of({1000, 2}), numeric_of({900, 500})).sql, "numeric");
  EXPECT_TRUE(can_hold(type_of(Base::int8), type_of(Base::int2)));
  EXPECT_FALSE(can_hold(type_of(Base::int2), type_of(Base::int8)));
  EXPECT_TRUE(can_hold(type_of(Base::json), type_of(Base::jsonb)));
  EXPECT_TRUE(can_hold(type_of(Base::text), type_of(Base::bytea)));
}

// --- inference --------------------------------------------------------------------------------------------

Base inferred(const std::vector<std::string_view>& texts, Kind kind = Kind::text) {
  Inference inference;
  for (const std::string_view text : texts) {
    const Cell cell{.kind = kind, .text = text};
    inference.observe({&cell, 1});
  }
  return inference.columns().empty() ? Base::text : inference.columns()[0].base();
}

TEST(LoadInference, Numbers) {
  EXPECT_EQ(inferred({"1", "-5", " 7 "}), Base::int8);
  EXPECT_EQ(inferred({"9223372036854775807"}), Base::int8);
  EXPECT_EQ(inferred({"9223372036854775808"}), Base::numeric);
  EXPECT_EQ(inferred({"1", "2.50"}), Base::numeric);
  EXPECT_EQ(inferred({"1", "2.5", "1e-05"}), Base::float8);
  EXPECT_EQ(inferred({"0.1", "NaN", "-Infinity"}), Base::float8);
  EXPECT_EQ(inferred({"3.3333333333333333e-06", "0.30000000000000004"}), Base::float8)
      << "what programs write of a double";
  EXPECT_EQ(inferred({"9007199254740993", "1e5"}), Base::numeric) << "float8 would make it ..992";
  EXPECT_EQ(inferred({"0.12345678901234567891", "1e5"}), Base::numeric);
  EXPECT_EQ(inferred({"1e400"}), Base::numeric);
  EXPECT_EQ(inferred({"1e-400"}), Base::numeric);
  EXPECT_EQ(inferred({"1e200000"}), Base::text);
  EXPECT_EQ(inferred({"1e400", "5"}, Kind::number), Base::numeric);
}

TEST(LoadInference, WhatWouldLoseItsShapeStaysText) {
  for (const std::string_view text :
       {"00123", "+49301234", "-012", "0012.5", "yes", "on", "", "1,000", "0x1F", "10:30"}) {
    EXPECT_EQ(inferred({text}), Base::text) << text;
  }
  EXPECT_EQ(inferred({"1", "abc"}), Base::text);
  EXPECT_EQ(inferred({"1", "true"}), Base::text);
  EXPECT_EQ(inferred({}), Base::text);
}

TEST(LoadInference, OtherKinds) {
  EXPECT_EQ(inferred({"true", "F"}), Base::boolean);
  EXPECT_EQ(inferred({"2024-01-31"}), Base::date);
  EXPECT_EQ(inferred({"2024-01-31", "2024-01-31 10:00"}), Base::timestamp);
  EXPECT_EQ(inferred({"2024-01-31T10:00:00Z", "2024-01-31 10:00:00+02"}), Base::timestamptz);
  EXPECT_EQ(inferred({"2024-01-31T10:00:00Z", "2024-01-31 10:00:00"}), Base::text) << "whose zone is it?";
  EXPECT_EQ(inferred({"2024-01-31T10:00:00Z", "2024-01-31"}), Base::text);
  EXPECT_EQ(inferred({"20240131"}), Base::int8);
  EXPECT_EQ(inferred({"2023-02-29"}), Base::text);
  EXPECT_EQ(inferred({"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}), Base::uuid);
  EXPECT_EQ(inferred({"{\"a\":1}"}, Kind::json), Base::jsonb);
  EXPECT_EQ(inferred({"{\"a\":1}"}), Base::text) << "CSV that holds JSON by chance";
  EXPECT_EQ(inferred({"\xff"}, Kind::bytes), Base::bytea);
}

TEST(LoadInference, CountsAndSaysWhenATypeChanges) {
  Inference inference(1);
  const auto observe = [&](Cell cell) { return inference.observe({&cell, 1}); };
  EXPECT_FALSE(observe({.kind = Kind::null})) << "a column without a value is text for now";
  EXPECT_TRUE(observe({.kind = Kind::text, .text = "12"}));
  EXPECT_FALSE(observe({.kind = Kind::text, .text = "345"}));
  EXPECT_TRUE(observe({.kind = Kind::text, .text = "1.5"}));
  EXPECT_FALSE(observe({.kind = Kind::absent}));
  EXPECT_EQ(inference.columns()[0].values, 3);
  EXPECT_EQ(inference.columns()[0].nulls, 2);
  EXPECT_EQ(inference.columns()[0].longest, 3);
}

rc::Gen<std::pair<Kind, std::string>> any_cell() {
  return rc::gen::exec([] {
    static const std::vector<std::pair<Kind, std::string>> kSamples{
        {Kind::text, "1"},
        {Kind::text, "-7"},
        {Kind::text, "2.50"},
        {Kind::text, "9007199254740993"},
        {Kind::text, "1e5"},
        {Kind::text, "nan"},
        {Kind::text, "-Infinity"},
        {Kind::text, "1e400"},
        {Kind::text, "5e-324"},
        {Kind::text, "123456789012345678901234567890"},
        {Kind::text, "1e131072"},
        {Kind::text, "true"},
        {Kind::text, "F"},
        {Kind::text, "2024-02-29"},
        {Kind::text, "5874897-12-31"},
        {Kind::text, "2024-01-31 24:00:00"},
        {Kind::text, "294276-12-31 23:59:59.9999999"},
        {Kind::text, "2024-01-31T10:00:00+15:59"},
        {Kind::text, "294276-12-31 23:00:00-02"},
        {Kind::text, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {Kind::text, ""},
        {Kind::text, " 12 "},
        {Kind::text, "00123"},
        {Kind::text, "abc"},
        {Kind::number, "1"},
        {Kind::number, "-0.0"},
        {Kind::number, "5.0"},
        {Kind::number, "1E+2"},
        {Kind::boolean, "false"},
        {Kind::json, "[1,2]"},
        {Kind::json, "{\"a\":\"\\u0000\"}"},
        {Kind::bytes, std::string("\0\xff", 2)}};
    if (*rc::gen::inRange(0, 4) > 0) return *rc::gen::elementOf(kSamples);
    return std::pair(Kind::text, *rc::gen::container<std::string>(
                                     rc::gen::elementOf(std::string("0123456789-+.eE :TZx"))));
  });
}

RC_GTEST_PROP(LoadInference, ItsTypeHoldsEveryValueAndOrderDoesNotMatter, ()) {
  // Few different values in a column: with many it is text every time.
  const auto few =
      *rc::gen::resize(3, rc::gen::container<std::vector<std::pair<Kind, std::string>>>(any_cell()));
  Inference forward;
  Inference backward;
  Inference joined;
  for (std::size_t i = 0; i < few.size(); ++i) {
    const Cell one{.kind = few[i].first, .text = few[i].second};
    const auto& last = few[few.size() - 1 - i];
    const Cell other{.kind = last.first, .text = last.second};
    forward.observe({&one, 1});
    backward.observe({&other, 1});
    Inference alone;
    alone.observe({&other, 1});
    joined.join(alone);
  }
  RC_ASSERT(forward.types() == backward.types());
  RC_ASSERT(forward.types() == joined.types());
  const RowEncoder encoder(forward.types());
  for (const auto& [kind, text] : few) {
    const Cell cell{.kind = kind, .text = text};
    std::string out;
    const auto misfit = encoder.add({&cell, 1}, {}, out);
    if (misfit) RC_FAIL(misfit->reason + " in " + encoder.types()[0].sql);
  }
}

// --- names ------------------------------------------------------------------------------------------------

std::vector<std::string> named(std::vector<std::string> header, NameStyle style = NameStyle::as_written) {
  return column_names(header, style);
}

TEST(LoadNames, StayAsTheyAreWhereTheyAreLegal) {
  EXPECT_THAT(named({"id", "Order ID", "select", "ž€", "a\"b"}),
              ElementsAre("id", "Order ID", "select", "ž€", "a\"b"));
}

TEST(LoadNames, BecomeLegalAndDifferent) {
  EXPECT_THAT(named({"a", "a", "a_2", "a"}), ElementsAre("a", "a_3", "a_2", "a_4"));
  EXPECT_THAT(named({"", "x", "  "}), ElementsAre("c1", "x", "c3"));
  EXPECT_THAT(named({"c2", ""}), ElementsAre("c2", "c2_2"));
  EXPECT_THAT(named({"ctid", "xmin"}), ElementsAre("ctid_2", "xmin_2"));
  EXPECT_THAT(named({std::string("a\0b", 3), "a\xff"}), ElementsAre("a_b", "a_"));
  const std::string long_name = std::string(62, 'x') + "ž";
  EXPECT_THAT(named({long_name, long_name}), ElementsAre(std::string(62, 'x'), std::string(61, 'x') + "_2"));
}

TEST(LoadNames, InSnakeCase) {
  EXPECT_THAT(
      named({"Order ID", "orderId", "HTTPServer2Go", "  a--b ", "2nd", "Größe", "%"}, NameStyle::snake),
      ElementsAre("order_id", "order_id_2", "http_server2_go", "a_b", "c2nd", "größe", "c7"));
}

RC_GTEST_PROP(LoadNames, AreAlwaysLegal, (const std::vector<std::string>& written, bool in_snake)) {
  std::vector<std::string> header = written;
  for (std::size_t i = 0; i + 1 < header.size(); i += 3) header[i + 1] = header[i];
  const auto names = named(header, in_snake ? NameStyle::snake : NameStyle::as_written);
  RC_ASSERT(names.size() == header.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    RC_ASSERT(!names[i].empty() && names[i].size() <= 63);
    RC_ASSERT(!find_invalid_utf8(names[i]) && names[i].find('\0') == std::string::npos);
    for (std::size_t j = 0; j < i; ++j) RC_ASSERT(names[i] != names[j]);
  }
  RC_ASSERT(named(names) == names);
}

}  // namespace
}  // namespace weir::load
