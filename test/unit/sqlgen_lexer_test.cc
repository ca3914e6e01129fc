#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "schema/gen/sql_lexer.h"

namespace weir::sqlgen {
namespace {

using Kind = Token::Kind;

std::vector<Token> tokens(std::string_view text) {
  SqlLexer lexer(text);
  std::vector<Token> all;
  for (Token token = lexer.next(); token.kind != Kind::end; token = lexer.next()) all.push_back(token);
  return all;
}

/// The parameters that the lexer finds, joined by a blank.
std::string parameters(std::string_view text) {
  std::string names;
  for (const Token& token : tokens(text)) {
    if (token.kind == Kind::parameter) names.append(names.empty() ? "" : " ").append(token.text);
  }
  return names;
}

struct Example {
  const char* sql;
  const char* parameters;
};

class Parameters : public ::testing::TestWithParam<Example> {};

TEST_P(Parameters, AreFoundOnlyWhereSqlHasAPlaceForThem) {
  EXPECT_EQ(parameters(GetParam().sql), GetParam().parameters) << GetParam().sql;
}

INSTANTIATE_TEST_SUITE_P(Plain, Parameters,
                         ::testing::Values(Example{"a = :b", ":b"}, Example{"a=:b_2,:c", ":b_2 :c"},
                                           Example{"(:a)", ":a"}, Example{":größe", ":größe"},
                                           Example{"f(x => :a)", ":a"}, Example{"a ? :b", ":b"},
                                           Example{"a-:b", ":b"}, Example{"1+:b", ":b"}));
INSTANTIATE_TEST_SUITE_P(Colons, Parameters,
                         ::testing::Values(Example{"a::int8", ""}, Example{":a::int8", ":a"},
                                           Example{":a::int8[]", ":a"}, Example{"f(a := 1)", ""},
                                           Example{"f(a := :b)", ":b"}, Example{"a : b", ""},
                                           Example{"12:30", ""}, Example{":1", ""}, Example{":", ""},
                                           Example{"a::  b", ""}));
INSTANTIATE_TEST_SUITE_P(Slices, Parameters,
                         ::testing::Values(Example{"a[1:2]", ""}, Example{"a[lo:hi]", ""},
                                           Example{"a[lo : hi]", ""}, Example{"a[lo: :hi]", ":hi"},
                                           Example{"a[:lo : :hi]", ":lo :hi"}, Example{"a[f(:x):y]", ":x"},
                                           Example{"a[(lo):hi]", ""}, Example{"a[b[1]:c]", ""},
                                           Example{"ARRAY[:a, :b]", ":a :b"}, Example{"ARRAY['x', :b]", ":b"},
                                           Example{"a[1:2] = :b", ":b"}, Example{"a] = x:b", ":b"},
                                           Example{"a['1':b]", ""}, Example{"a[\"lo\":hi]", ""},
                                           Example{"a[;x:b", ":b"}));
INSTANTIATE_TEST_SUITE_P(
    Strings, Parameters,
    ::testing::Values(Example{"':a'", ""}, Example{"'it''s :a'", ""}, Example{"'' :a", ":a"},
                      Example{"'\\' :a", ":a"}, Example{"E'\\' :a'", ""}, Example{"e'\\\\' :a", ":a"},
                      Example{"E'a'' :b' :c", ":c"}, Example{"E'a'\n  '\\' :b' :c", ":c"},
                      Example{"E'a' -- why\n  '\\' :b' :c", ":c"}, Example{"E'a' '\\' :c", ":c"},
                      Example{"'a'\n '\\' :c", ":c"}, Example{"name'\\' :c", ":c"}, Example{"B'01' :a", ":a"},
                      Example{"U&'\\' :a", ":a"}, Example{"\"a:b\" :c", ":c"},
                      Example{"\"a\"\":b\" :c", ":c"}, Example{"U&\"\\\" :a", ":a"}));
INSTANTIATE_TEST_SUITE_P(DollarQuotes, Parameters,
                         ::testing::Values(Example{"$$ :a $$ :b", ":b"}, Example{"$x$ :a $$ :b $x$ :c", ":c"},
                                           Example{"$x$ $y$ :a $x$ :b", ":b"}, Example{"$$ ' $$ :b", ":b"},
                                           Example{"$1 :a", ":a"}, Example{"a$b$ :c", ":c"},
                                           Example{"$x$:a$X$:b$x$", ""}, Example{"$ :a", ":a"},
                                           Example{"$_1$ :a $_1$", ""}));
INSTANTIATE_TEST_SUITE_P(Comments, Parameters,
                         ::testing::Values(Example{"-- :a\n:b", ":b"}, Example{"-- it's\n:b", ":b"},
                                           Example{"/* :a */ :b", ":b"},
                                           Example{"/* /* :a */ :b */ :c", ":c"}, Example{"/* ' */ :b", ":b"},
                                           Example{"a--:b\n", ""}, Example{"a-/* */:b", ":b"},
                                           Example{"'--' :b", ":b"}, Example{"'/*' :b", ":b"},
                                           Example{"/*/ :a */ :b", ":b"}, Example{"-- /*\n:b", ":b"}));

TEST(SqlLexer, NamesWhatWasNotClosed) {
  const auto fault = [](std::string_view text) {
    try {
      tokens(text);
    } catch (const SyntaxError& error) {
      return std::to_string(error.offset) + ' ' + error.message;
    }
    return std::string("none");
  };
  EXPECT_EQ(fault("a 'b"), "2 a string is not closed");
  EXPECT_EQ(fault("a E'b\\'"), "3 a string is not closed");
  EXPECT_EQ(fault("a E'b\\"), "3 a string is not closed");
  EXPECT_EQ(fault("a \"b"), "2 a quoted name is not closed");
  EXPECT_EQ(fault("a $x$b$y$"), "2 a string is not closed: $x$ is missing");
  EXPECT_EQ(fault("/* /* */"), "0 a comment is not closed: */ is missing");
}

TEST(SqlLexer, TellsPositionalParametersAndSemicolons) {
  const std::vector<Token> all = tokens("$1;$12 ';'");
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(all[0].kind, Kind::positional);
  EXPECT_EQ(all[1].kind, Kind::semicolon);
  EXPECT_EQ(all[2].text, "$12");
  EXPECT_EQ(all[4].kind, Kind::string);
}

TEST(SqlLexer, CountsLinesFromOne) {
  EXPECT_EQ(line_of("a\nb\nc", 0), 1U);
  EXPECT_EQ(line_of("a\nb\nc", 2), 2U);
  EXPECT_EQ(line_of("a\nb\nc", 99), 3U);
}

RC_GTEST_PROP(SqlLexer, LosesNoByte, ()) {
  const auto pieces = *rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>("'", "''", "\"", "$$", "$a$", "$1", "E'", "\\", "--", "\n", "/*", "*/",
                                    ":a", "::", "[", "]", ";", "a", " ", "1.5e+3", "..", "\xC3\xA9"));
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  std::string again;
  try {
    for (const Token& token : tokens(text)) {
      RC_ASSERT(!token.text.empty());
      RC_ASSERT(token.offset == again.size());
      again += token.text;
    }
    RC_ASSERT(again == text);
  } catch (const SyntaxError& error) {
    RC_ASSERT(error.offset < text.size());
  }
}

}  // namespace
}  // namespace weir::sqlgen
