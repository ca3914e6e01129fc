#include <limits>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pg/copy_format.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/params.h"
#include "pg/value.h"

namespace weir::pg {
namespace {

using namespace std::string_view_literals;

template <class T>
std::string encoded(const T& value) {
  std::string bytes;
  Codec<T>::encode(bytes, value);
  return bytes;
}

template <class T>
T round_trip(const T& value) {
  return Codec<T>::decode(Codec<T>::kOid, encoded(value));
}

template <class T>
std::string refusal(Oid type, std::string_view bytes) {
  try {
    (void)Codec<T>::decode(type, bytes);
  } catch (const DecodeFailure& failure) {
    return failure.reason;
  }
  return "accepted";
}

RC_GTEST_PROP(Value, IntegersSurvive, (std::int32_t b, std::int64_t c)) {
  const auto a = static_cast<std::int16_t>(b);
  RC_ASSERT(round_trip(a) == a);
  RC_ASSERT(round_trip(b) == b);
  RC_ASSERT(round_trip(c) == c);
}

RC_GTEST_PROP(Value, TextAndArraysSurvive, (std::string text, std::vector<std::string> words)) {
  RC_ASSERT(round_trip(text) == text);
  RC_ASSERT(round_trip(words) == words);
}

/// rapidcheck knows no optional: a pair says whether the value is there.
template <class T>
std::vector<std::optional<T>> with_holes(const std::vector<std::pair<bool, T>>& pairs) {
  std::vector<std::optional<T>> values;
  for (const auto& [present, value] : pairs) values.push_back(present ? std::optional(value) : std::nullopt);
  return values;
}

RC_GTEST_PROP(Value, ArraysWithHolesSurvive, (const std::vector<std::pair<bool, std::int64_t>>& pairs)) {
  const auto numbers = with_holes(pairs);
  RC_ASSERT(round_trip(numbers) == numbers);
}

RC_GTEST_PROP(Value, NoBytesMakeAnArrayThatReadsOutside, (std::string bytes)) {
  // Whatever comes, it is refused or it is an array: the sanitizers watch the reading.
  (void)refusal<std::vector<std::int64_t>>(oid::kInt8Array, bytes);
  (void)refusal<std::vector<std::optional<std::string>>>(oid::kTextArray, bytes);
}

RC_GTEST_PROP(Value, ACutArrayIsRefused, (std::vector<std::int32_t> numbers)) {
  const std::string whole = encoded(numbers);
  const auto length = *rc::gen::inRange<std::size_t>(0, whole.size());
  RC_PRE(!numbers.empty());
  RC_ASSERT(refusal<std::vector<std::int32_t>>(oid::kInt4Array, whole.substr(0, length)) != "accepted");
}

TEST(Value, IsNetworkByteOrder) {
  EXPECT_EQ(encoded(std::int32_t{0x01020304}), "\x01\x02\x03\x04"sv);
  EXPECT_EQ(encoded(std::int16_t{-2}), "\xff\xfe"sv);
  EXPECT_EQ(encoded(1.0), "\x3f\xf0\0\0\0\0\0\0"sv);
  EXPECT_EQ(encoded(true), "\x01"sv);
}

TEST(Value, WidensButNeverNarrows) {
  EXPECT_EQ(Codec<std::int64_t>::decode(oid::kInt2, encoded(std::int16_t{-7})), -7);
  EXPECT_EQ(Codec<std::int64_t>::decode(oid::kInt4, encoded(std::int32_t{-7})), -7);
  EXPECT_EQ(Codec<std::int64_t>::decode(oid::kOid, "\xff\xff\xff\xff"sv), 4294967295);
  EXPECT_EQ(refusal<std::int32_t>(oid::kInt8, encoded(std::int64_t{1})), "is int8, not int4");
  EXPECT_EQ(refusal<std::int16_t>(oid::kInt4, encoded(std::int32_t{1})), "is int4, not int2");
  EXPECT_EQ(Codec<double>::decode(oid::kFloat4, encoded(0.5F)), 0.5);
  EXPECT_EQ(refusal<float>(oid::kFloat8, encoded(0.5)), "is float8, not float4");
  EXPECT_EQ(refusal<bool>(4711, "\x01"), "is type 4711, not bool");
}

TEST(Value, RefusesWrongSizes) {
  EXPECT_EQ(refusal<std::int64_t>(oid::kInt8, "1234567"), "has 7 bytes");
  EXPECT_EQ(refusal<Uuid>(oid::kUuid, "short"), "has 5 bytes");
  EXPECT_EQ(refusal<bool>(oid::kBool, ""), "has 0 bytes");
  EXPECT_NE(refusal<JsonView>(oid::kJsonb, "\x02{}"), "accepted");
  EXPECT_NE(refusal<JsonView>(oid::kJsonb, ""), "accepted");
}

TEST(Value, RefusesArraysThatLie) {
  const std::string two = encoded(std::vector<std::int32_t>{1, 2});
  std::string lying = two;
  lying[12] = '\x7f';  // two thousand million elements
  EXPECT_EQ(refusal<std::vector<std::int32_t>>(oid::kInt4Array, lying), "is cut short");
  std::string square = two;
  square[3] = 2;
  EXPECT_EQ(refusal<std::vector<std::int32_t>>(oid::kInt4Array, square), "has 2 dimensions, not one");
  EXPECT_EQ(refusal<std::vector<std::int64_t>>(oid::kInt8Array, two), "is int4, not int8");
  EXPECT_EQ(refusal<std::vector<std::int32_t>>(
                oid::kInt4Array, encoded(std::vector<std::optional<std::int32_t>>{std::nullopt})),
            "has a NULL among its elements");
}

TEST(Value, TimesReachBothInfinities) {
  EXPECT_EQ(round_trip(WallTime::max()), WallTime::max());
  EXPECT_EQ(round_trip(WallTime::min()), WallTime::min());
  EXPECT_EQ(encoded(WallTime(std::chrono::sys_days(std::chrono::year(2000) / 1 / 1))), "\0\0\0\0\0\0\0\0"sv);
  const std::string last_of_all = encoded(std::numeric_limits<std::int64_t>::max() - 1);
  EXPECT_NE(refusal<WallTime>(oid::kTimestamptz, last_of_all), "accepted");
}

TEST(Value, UuidsHaveOneForm) {
  const auto uuid = Uuid::parse("01234567-89AB-cdef-0123-456789abcdef");
  ASSERT_TRUE(uuid);
  EXPECT_EQ(uuid->to_string(), "01234567-89ab-cdef-0123-456789abcdef");
  for (const char* wrong : {"", "01234567-89ab-cdef-0123-456789abcde", "0123456789abcdef0123456789abcdef0000",
                            "01234567-89ab-cdef-0123-456789abcdeg", "01234567x89ab-cdef-0123-456789abcdef"}) {
    EXPECT_FALSE(Uuid::parse(wrong)) << wrong;
  }
}

TEST(Params, ViewsAreNotCopiedAndAnEmptyOneIsNotNull) {
  const std::string text = "seen in place";
  Params params = Params::of(text, std::string_view(), std::optional<std::int32_t>(), std::int64_t{5});
  const Params::View view = params.view();
  ASSERT_EQ(view.count, 4);
  EXPECT_EQ(static_cast<const void*>(view.values[0]), text.data());
  EXPECT_NE(view.values[1], nullptr);
  EXPECT_EQ(view.lengths[1], 0);
  EXPECT_EQ(view.values[2], nullptr);
  EXPECT_EQ(view.types[2], oid::kInt4);
  EXPECT_EQ(std::string_view(view.values[3], 8), encoded(std::int64_t{5}));
}

TEST(Params, StayRightWhileTheirMemoryGrows) {
  Params params;
  for (std::int64_t n = 0; n < 1000; ++n) params.add(n);
  const Params::View view = params.view();
  for (int n = 0; n < 1000; ++n) {
    EXPECT_EQ(Codec<std::int64_t>::decode(oid::kInt8, std::string_view(view.values[n], 8)), n);
  }
  params.clear();
  EXPECT_EQ(params.view().count, 0);
}

/// COPY's text form read back, by the rules of PostgreSQL's manual.
std::vector<std::optional<std::string>> read_copy_row(std::string_view line) {
  std::vector<std::optional<std::string>> fields;
  EXPECT_TRUE(line.ends_with('\n'));
  line.remove_suffix(1);
  std::string field;
  bool is_null = false;
  for (std::size_t at = 0; at <= line.size(); ++at) {
    if (at == line.size() || line[at] == '\t') {
      fields.push_back(is_null ? std::nullopt : std::optional(field));
      field.clear();
      is_null = false;
    } else if (line[at] == '\\') {
      const char code = line[++at];
      if (code == 'N') is_null = true;
      field.push_back(code == 't' ? '\t' : code == 'n' ? '\n' : code == 'r' ? '\r' : code);
    } else {
      field.push_back(line[at]);
    }
  }
  return fields;
}

RC_GTEST_PROP(CopyText, SurvivesWhateverTheFieldsAre,
              (const std::vector<std::pair<bool, std::string>>& pairs)) {
  const auto fields = with_holes(pairs);
  RC_PRE(!fields.empty());
  CopyText rows;
  for (const auto& field : fields) {
    if (field) {
      rows.add(*field);
    } else {
      rows.add_null();
    }
  }
  rows.end_row();
  RC_ASSERT(read_copy_row(rows.bytes()) == fields);
}

TEST(CopyBinary, IsASignatureRowsAndATrailer) {
  CopyBinary rows(2);
  rows.begin_row();
  rows.add(std::int16_t{7});
  rows.add(std::optional<std::string>());
  rows.finish();
  EXPECT_EQ(rows.bytes(),
            "PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"
            "\0\2\0\0\0\2\0\7\xff\xff\xff\xff\xff\xff"sv);
}

TEST(Identifier, NothingEscapesTheQuotes) {
  EXPECT_EQ(quote_identifier("plain"), "\"plain\"");
  EXPECT_EQ(quote_identifier("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
  EXPECT_THROW(quote_identifier(""), Error);
  EXPECT_THROW(quote_identifier("a\0b"sv), Error);
  EXPECT_EQ(quote_literal("it's"), "'it''s'");
  EXPECT_EQ(quote_literal("\\'"), " E'\\\\'''");
  EXPECT_THROW(quote_literal("a\0b"sv), Error);
}

TEST(CopyBinary, RefusesAValueThatNoServerTakes) {
  const std::string large(detail::kMostBytes + 1, 'x');
  CopyBinary rows(1);
  rows.begin_row();
  try {
    rows.add(std::string_view(large));
    ADD_FAILURE() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::misuse);
    EXPECT_NE(std::string(error.what()).find("a value has 1073741824 bytes"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace weir::pg
