// YAML: what its scalars mean, where everything stands, and what is no YAML of ours.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "pipeline/define/yaml/json.h"
#include "pipeline/define/yaml/parse.h"
#include "pipeline/define/yaml/scalar.h"

namespace weir::pipeline::yaml {
namespace {

using ::testing::ElementsAre;

Node parse_one(const std::string& text) {
  Parsed parsed = parse(text);
  for (const Fault& fault : parsed.faults) ADD_FAILURE() << text << ": " << fault.message;
  return parsed.root ? *parsed.root : Node{};
}

TEST(PipelineYaml, PlainScalarsAreReadByTheCoreSchema) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"no", R"("no")"},
      {"on", R"("on")"},
      {"yes", R"("yes")"},
      {"y", R"("y")"},
      {"true", "true"},
      {"TRUE", "true"},
      {"False", "false"},
      {"tRue", R"("tRue")"},
      {"010", "10"},
      {"0o17", "15"},
      {"0x1F", "31"},
      {"-7", "-7"},
      {"+7", "7"},
      {"0b11", R"("0b11")"},
      {"1_000", R"("1_000")"},
      {"1.5e3", "1500.0"},
      {".5", "0.5"},
      {"1.10", "1.1"},
      {".inf", R"(".inf")"},
      {"12:30:45", R"("12:30:45")"},
      {"2026-01-01", R"("2026-01-01")"},
      {"\"1\"", R"("1")"},
      {"'true'", R"("true")"},
      {"~", "null"},
      {"null", "null"},
      {"0o8", R"("0o8")"},
      {"-", "[null]"},
      {"99999999999999999999", R"("99999999999999999999")"},
      {"0x", R"("0x")"},
      {"+-7", R"("+-7")"},
      {"0x-1", R"("0x-1")"},
      {"1e5", "100000.0"},
      {"..", R"("..")"},
      {"- |\n  7", R"(["7"])"},
  };
  for (const auto& [text, json] : cases) EXPECT_EQ(to_json(parse_one(text)).dump(), json) << text;
}

TEST(PipelineYaml, IntegersEndWhereSixtyFourBitsDo) {
  EXPECT_EQ(as_integer(parse_one("9223372036854775807")), INT64_MAX);
  EXPECT_EQ(as_integer(parse_one("9223372036854775808")), std::nullopt);
  EXPECT_EQ(as_integer(parse_one("-9223372036854775807")), -INT64_MAX);
}

TEST(PipelineYaml, KeysAndValuesHavePlacesInCharacters) {
  const Node root = parse_one(
      "\xEF\xBB\xBF\xC3\xA9: \xC3\xBC\r\nlist:\r\n  - \xF0\x9F\x98\x80 x\r\n  - {k: \"v\"}\r\nlack:\r\n");
  ASSERT_EQ(root.members.size(), 3U);
  EXPECT_EQ(root.members[0].key.place, (Place{1, 1}));
  EXPECT_EQ(root.members[0].value.place, (Place{1, 4}));
  EXPECT_EQ(root.members[1].value.items[0].place, (Place{3, 5}));
  EXPECT_EQ(root.members[1].value.items[1].members[0].value.place, (Place{4, 9}));
  EXPECT_TRUE(root.members[1].value.items[1].members[0].value.quoted);
  EXPECT_EQ(root.members[2].value.place, (Place{5, 1})) << "what is missing is where its key is";
}

TEST(PipelineYaml, PlacesWithinAScalarAreThoseOfTheSource) {
  const std::string text = "a: |\n  one\n  two ${x} ${x}\nb: 'q ${x}'\n";
  const Node root = parse_one(text);
  EXPECT_EQ(place_within(text, root.members[0].value, "${x}"), (Place{3, 7}));
  EXPECT_EQ(place_within(text, root.members[0].value, "${x}", 1), (Place{3, 12}));
  EXPECT_EQ(place_within(text, root.members[1].value, "${x}"), (Place{4, 7}));
  EXPECT_EQ(place_within(text, root.members[1].value, "not there"), (Place{4, 4}));
}

TEST(PipelineYaml, AnAliasIsACopy) {
  const Node root = parse_one("a: &x [1, {k: v}]\nb: *x\n");
  EXPECT_EQ(to_json(root).dump(), R"({"a":[1,{"k":"v"}],"b":[1,{"k":"v"}]})");
}

struct Bad {
  std::string text;
  std::vector<std::string> told;
};

TEST(PipelineYaml, WhatIsNoYamlIsToldWithItsPlace) {
  const std::vector<Bad> cases{
      {"a: 1\nb:\n\tc: 2\n", {"3:1 a tab in the indentation"}},
      {"\ta: 1\n", {"1:1 a tab in the indentation"}},
      {"a:\n  - x\n \t- y\n", {"3:2 a tab in the indentation"}},
      {"a: b: c\n", {"1:5 a ':' where no key can stand"}},
      {"a: 1\n b: 2\n", {"2:3 a ':' where no key can stand"}},
      {"a: {to: ${env:X}}\n", {"1:10 the mapping that begins with '{' does not go on here"}},
      {"run: [a, ${x}]\n", {"1:11 the list that begins with '[' does not go on here"}},
      {"a: 'x\nb: 1\n", {"1:4 the text in quotes never ends"}},
      {"a: \"x\n", {"1:4 the text in quotes never ends"}},
      {"a: 'it''\n", {"1:4 the text in quotes never ends"}},
      {"a: \"x\\\"\n", {"1:4 the text in quotes never ends"}},
      {"a: &k 'x\n", {"1:4 the text in quotes never ends"}},
      {"a: \"\\q\"\n", {"1:7 an escape that YAML does not know"}},
      {"a: * * *\n", {"1:5 a text cannot begin with '*'"}},
      {"a: *x\n", {"1:4 no anchor of this name is above"}},
      {"a: &x\n  b: *x\n", {"2:6 an alias within what it stands for"}},
      {"a: @x\n", {"1:4 a text cannot begin with '@'"}},
      {"a: `x`\n", {"1:4 a text cannot begin with '`'"}},
      {"a: %x\n", {"1:4 a text cannot begin with '%'"}},
      {"}\n", {"1:1 a closing bracket that nothing has opened"}},
      {"a: 1\n---\nb: 2\n", {"2:1 a second document in one file"}},
      {"- a\nb: 1\n", {"2:1 this belongs to nothing above it"}},
      {"a: 1\nb: 2\na: 3\n", {"3:1 'a' is here for the second time"}},
      {"a: {x: 1, x: 2}\nb: {y: 1, y: 2}\n",
       {"1:11 'x' is here for the second time", "2:11 'y' is here for the second time"}},
      {"<<: {a: 1}\n", {"1:1 YAML 1.2 has no merge key '<<'"}},
      {"a: !!str 1\n", {"1:4 a tag has no meaning here"}},
      {"[a]: b\n", {"1:1 a key must be a text, not a list"}},
      {"a: \xFF\n", {"1:4 the byte 0xFF is no UTF-8"}},
      {"a: b\x01\n", {"1:5 the control character \\x01 cannot be in a definition"}},
      {"a: b\rc: d\n", {"1:5 the control character \\x0d cannot be in a definition"}},
  };
  for (const Bad& one : cases) {
    const Parsed parsed = parse(one.text);
    std::vector<std::string> told;
    for (const Fault& fault : parsed.faults) {
      told.push_back(fmt::format("{}:{} {}", fault.place.line, fault.place.column, fault.message));
    }
    EXPECT_EQ(told, one.told) << one.text;
  }
}

TEST(PipelineYaml, TabsThatIndentNothingAreWelcome) {
  EXPECT_EQ(to_json(parse_one("a:\tb\nc: |\n  x\n  \ty\n")).dump(), R"({"a":"b","c":"x\n\ty\n"})");
}

TEST(PipelineYaml, EveryCostHasALimit) {
  const auto first = [](const std::string& text, const Limits& limits) {
    const Parsed parsed = parse(text, limits);
    EXPECT_FALSE(parsed.root);
    return parsed.faults.empty() ? "" : parsed.faults.front().message;
  };
  EXPECT_EQ(first(std::string(100, 'x'), {.bytes = 99}),
            "the file has 100 B, more than the 99 B that are read");
  EXPECT_EQ(first(std::string(60, '['), {}), "nested deeper than 40 levels");
  std::string bomb = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 40; ++i) bomb += fmt::format("a{}: &a{} [*a{}, *a{}]\n", i, i, i - 1, i - 1);
  EXPECT_EQ(first(bomb, {}), "more than 500,000 values, or 32.0 MiB of text, aliases written out");
  std::string wide = "a: &a " + std::string(1'000'000, 'x') + "\nb: [*a";
  for (int i = 0; i < 100; ++i) wide += ", *a";
  EXPECT_EQ(first(wide + "]\n", {}), "more than 500,000 values, or 32.0 MiB of text, aliases written out");
}

TEST(PipelineYaml, AnEmptyFileIsNothingAndNoMistake) {
  for (const std::string text : {"", "# only a comment\n", "---\n", "~\n"}) {
    const Parsed parsed = parse(text);
    EXPECT_TRUE(parsed.faults.empty()) << text;
    EXPECT_TRUE(!parsed.root || parsed.root->is_null()) << text;
  }
}

}  // namespace
}  // namespace weir::pipeline::yaml
