#include <random>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "work/json_syntax.h"

namespace weir::work {
namespace {

TEST(JsonSyntaxTest, NumbersAreText) {
  for (const char* good : {"1e400", "-1E-400", "[1e+99999]", R"({"a":1e400})", "0.1e0", " -0 "})
    EXPECT_FALSE(find_json_fault(good)) << good;
  EXPECT_FALSE(find_json_fault(std::string(500, '9')));
}

TEST(JsonSyntaxTest, AFaultHasItsPlace) {
  EXPECT_EQ(find_json_fault(""), 0U);
  EXPECT_EQ(find_json_fault("{oops}"), 1U);
  EXPECT_EQ(find_json_fault("[1,]"), 3U);
  EXPECT_EQ(find_json_fault("{} x"), 3U);
  EXPECT_EQ(find_json_fault("01"), 1U);
  EXPECT_EQ(find_json_fault("[1e]"), 3U);
  EXPECT_EQ(find_json_fault(std::string_view("1\0", 2)), 1U);
}

TEST(JsonSyntaxTest, OtherwiseItIsOfOneMindWithAParser) {
  const std::string pieces[] = {"{",     "}",        "[",    "]",  ",",   ":",     "\"",   "\"a\"",
                                "1",     "-",        "0",    ".5", "e",   "E+7",   "true", "null",
                                "false", " ",        "\n",   "\\", "\\u", "D83D",  "DE00", "00e4",
                                "\\n",   "\xC3\xA4", "\xC3", "\t", "nul", "\"k\":"};
  std::mt19937 random(4711);  // NOLINT(cert-msc51-cpp): the same each time
  int good = 0;
  for (int round = 0; round < 300'000; ++round) {
    std::string text;
    for (auto left = random() % 9 + 1; left > 0; --left) text += pieces[random() % std::size(pieces)];
    const bool accepts = nlohmann::json::accept(text);
    good += accepts ? 1 : 0;
    ASSERT_EQ(!find_json_fault(text), accepts) << text;
  }
  EXPECT_GT(good, 1000);
  const std::string deep(100'000, '[');
  EXPECT_FALSE(find_json_fault(deep + std::string(100'000, ']')));
}

}  // namespace
}  // namespace weir::work
