#include <array>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <rapidcheck/gtest.h>

#include "base/hash.h"
#include "base/json_text.h"
#include "base/text.h"

namespace weir {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

/// By the definition, not by the table: decodes the bits, then asks whether the value may be written so.
std::size_t reference_length(const std::string& text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC0 || lead >= 0xF8 || text.size() < length) return 0;
  std::uint32_t point = lead & (0xFFU >> (length + 1));
  for (std::size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xC0U) != 0x80) return 0;
    point = point << 6U | (byte(at) & 0x3FU);
  }
  const std::uint32_t least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  return point < least || point > 0x10FFFF || surrogate ? 0 : length;
}

std::string bytes_of(std::uint32_t word, std::size_t count) {
  std::string text;
  for (std::size_t i = count; i > 0; --i) text.push_back(static_cast<char>(word >> (8 * (i - 1)) & 0xFFU));
  return text;
}

TEST(Utf8, AgreesWithItsDefinitionOnEveryShortSequence) {
  for (std::uint32_t word = 0; word < 0x10000; ++word) {
    const std::string text = bytes_of(word, 2);
    ASSERT_EQ(utf8_length(text), reference_length(text)) << std::hex << word;
    ASSERT_EQ(utf8_length(text.substr(0, 1)), reference_length(text.substr(0, 1))) << std::hex << word;
  }
  for (std::uint32_t lead = 0xE0; lead < 0xF0; ++lead) {
    for (std::uint32_t rest = 0; rest < 0x10000; ++rest) {
      const std::string text = bytes_of(lead << 16U | rest, 3);
      ASSERT_EQ(utf8_length(text), reference_length(text)) << std::hex << lead << ' ' << rest;
    }
  }
}

TEST(Utf8, AgreesWithItsDefinitionOnLongSequences) {
  for (std::uint32_t head = 0xF000; head < 0x10000; ++head) {
    for (const std::uint32_t tail : {0x8080U, 0xBFBFU, 0x807FU, 0x7F80U, 0xC080U, 0x80C0U}) {
      const std::string text = bytes_of(head << 16U | tail, 4);
      ASSERT_EQ(utf8_length(text), reference_length(text)) << std::hex << head << ' ' << tail;
      ASSERT_EQ(utf8_length(text.substr(0, 3)), 0U) << "cut short";
    }
  }
}

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(find_invalid_utf8(""), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("plain ž 💧\0"s), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("\xFF"), 0U);
  EXPECT_EQ(find_invalid_utf8("ž\xC5"), 2U) << "cut in mid-character";
  EXPECT_EQ(find_invalid_utf8("ab\xC0\xAF"), 2U) << "over-long";
  EXPECT_EQ(find_invalid_utf8("\xED\xA0\x80"), 0U) << "a surrogate";
}

TEST(Printable, LetsNoControlCharacterReachATerminal) {
  EXPECT_EQ(printable("plain ž 💧 \\"), "plain ž 💧 \\");
  EXPECT_EQ(printable("a\nb\tc\r"), "a\\x0ab\\x09c\\x0d");
  EXPECT_EQ(printable("\x1b[31m\x7f\0"s), "\\x1b[31m\\x7f\\x00");
  EXPECT_EQ(printable("\xFFž\xC5"), "\\xffž\\xc5");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\xc2\\x9b31m")
      << "U+009B is ESC [ to a terminal";
  EXPECT_EQ(printable("\xC2\xA0"), "\xC2\xA0") << "the first character that is none";
}

RC_GTEST_PROP(PrintableProperty, IsUtf8WithoutControlCharacters, (const std::string& text)) {
  const std::string shown = printable(text);
  RC_ASSERT(find_invalid_utf8(shown) == std::nullopt);
  for (const char c : shown) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
  RC_ASSERT(printable(shown) == shown);
}

TEST(Elide, KeepsWhatFitsAndCutsBetweenCharacters) {
  const struct {
    const char* text;
    std::size_t width;
    const char* expected;
  } table[] = {{"", 0, ""},       {"", 3, ""},
               {"abc", 3, "abc"}, {"abcd", 3, "ab…"},
               {"abcd", 1, "…"},  {"abcd", 0, "…"},
               {"žšč", 3, "žšč"}, {"žšču", 3, "žš…"},
               {"💧💧", 1, "…"},  {"a\xFF\xFF\xFF", 3, "a\xFF…"}};
  for (const auto& row : table)
    EXPECT_EQ(elide(row.text, row.width), row.expected) << row.text << ' ' << row.width;
}

TEST(HumanBytes, HasOneDecimalAndTheRightUnit) {
  const struct {
    std::uint64_t bytes;
    const char* expected;
  } table[] = {{0, "0 B"},
               {1, "1 B"},
               {1023, "1023 B"},
               {1024, "1.0 KiB"},
               {1536, "1.5 KiB"},
               {1023 * 1024, "1023.0 KiB"},
               {1024 * 1024 - 1, "1.0 MiB"},
               {1024 * 1024, "1.0 MiB"},
               {std::uint64_t{5} << 30U, "5.0 GiB"},
               {std::uint64_t{1} << 40U, "1.0 TiB"},
               {std::uint64_t{1} << 50U, "1.0 PiB"},
               {std::uint64_t{1} << 60U, "1.0 EiB"},
               {UINT64_MAX, "16.0 EiB"}};
  for (const auto& row : table) EXPECT_EQ(human_bytes(row.bytes), row.expected);
}

TEST(HumanDuration, HasTwoUnitsAtMost) {
  const struct {
    Duration span;
    const char* expected;
  } table[] = {{0ns, "0 µs"},          {850us, "850 µs"},       {999400ns, "999 µs"},
               {999500ns, "1 ms"},     {12300us, "12.3 ms"},    {999400us, "999 ms"},
               {999500us, "1.0 s"},    {4200ms, "4.2 s"},       {59940ms, "59.9 s"},
               {59950ms, "1 m 0 s"},   {200s, "3 m 20 s"},      {3599400ms, "59 m 59 s"},
               {3599600ms, "1 h 0 m"}, {86399s, "23 h 59 m"},   {51h, "2 d 3 h"},
               {-4200ms, "-4.2 s"},    {Duration::min(), "-∞"}, {Duration::max(), "106751 d 23 h"}};
  for (const auto& row : table) EXPECT_EQ(human_duration(row.span), row.expected);
}

TEST(Closest, FindsWhatWasProbablyMeant) {
  constexpr std::array<std::string_view, 6> kWords{"start", "stop", "status", "migrate", "url", "up"};
  const struct {
    const char* word;
    std::optional<std::string_view> expected;
  } table[] = {{"statsu", "status"}, {"strat", "start"},     {"migrat", "migrate"}, {"migratee", "migrate"},
               {"stp", "stop"},      {"ulr", "url"},         {"start", "start"},    {"banana", std::nullopt},
               {"", std::nullopt},   {"x", std::nullopt},    {"pu", "up"},          {"STATUS", std::nullopt},
               {"sto", "stop"},      {"zzart", std::nullopt}};
  for (const auto& row : table) EXPECT_EQ(closest(row.word, kWords), row.expected) << row.word;
  EXPECT_EQ(closest("start", {}), std::nullopt);
}

TEST(Trim, TakesSpaceFromBothEndsOnly) {
  EXPECT_EQ(trim(" \t\r\n\v\fa b\n"), "a b");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim(" \n "), "");
  EXPECT_EQ(trim("a"), "a");
}

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonText, EscapesWhatJsonAndTerminalsMindAndNothingElse) {
  EXPECT_EQ(json_string(""), R"("")");
  EXPECT_EQ(json_string("a\"b\\c/ž💧"), R"("a\"b\\c/ž💧")");
  EXPECT_EQ(json_string("\n\r\t\b\0\x1f"s), R"("\n\r\t\u0008\u0000\u001f")");
  EXPECT_EQ(json_string("\x7f\xC2\x9B\xC2\xA0"), "\"\\u007f\\u009b\xC2\xA0\"");
}

TEST(JsonText, AppendsToWhatIsThere) {
  std::string out = "{";
  append_json_string(out, "k");
  EXPECT_EQ(out, "{\"k\"");
}

RC_GTEST_PROP(JsonTextProperty, ParsesBackWithOneReplacementForEachBadByte, (const std::string& text)) {
  std::string expected;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = reference_length(text.substr(at));
    expected += length == 0 ? "\uFFFD" : text.substr(at, length);
    at += std::max<std::size_t>(length, 1);
  }
  const std::string written = json_string(text);
  RC_ASSERT(nlohmann::json::parse(written).get<std::string>() == expected);
  for (const char c : written) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20);
}

TEST(Fnv1a, MatchesThePublishedVectors) {
  static_assert(fnv1a("") == 0xcbf29ce484222325ULL);
  EXPECT_EQ(fnv1a("a"), 0xaf63dc4c8601ec8cULL);
  EXPECT_EQ(fnv1a("b"), 0xaf63df4c8601f1a5ULL);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8ULL);
  EXPECT_EQ(fnv1a("\0"s), 0xaf63bd4c8601b7dfULL);
  EXPECT_EQ(fnv1a("bar", fnv1a("foo")), fnv1a("foobar")) << "in pieces";
}

TEST(Text, DurationsAreAWholeNumberAndAUnit) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("0s"), 0s);
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("2h"), 2h);
  EXPECT_EQ(parse_duration("7d"), 168h);
  EXPECT_EQ(parse_duration("106751d"), 106751 * 24h);
  for (const char* const bad :
       {"", "5", "s", "-1s", "1.5s", "1 s", "1S", "5min", "106752d", "99999999999999999999s"})
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
}

TEST(Text, CountsHaveCommas) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(-1000), "-1,000");
  EXPECT_EQ(human_count(1234567), "1,234,567");
}

}  // namespace
}  // namespace weir
