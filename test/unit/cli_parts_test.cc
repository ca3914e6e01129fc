// Parts of the command line that need no process: the parser, tables, widths, errors.
#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "base/width.h"
#include "cli/failure.h"
#include "cli/parse.h"
#include "cli/term/table.h"
#include "cli/term/terminal.h"

namespace weir::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Registry registry() {
  const auto nothing = [](Context&) { return ExitCode::ok; };
  return {
      .groups = {{"queue", "queues"}},
      .commands = {{.path = "run",
                    .summary = "",
                    .description = "",
                    .options = {{"wait", 'w', "", ""}, {"param", 'p', "K=V", ""}},
                    .words = "PIPELINE",
                    .rest = "CMD",
                    .run = nothing},
                   {.path = "run history", .summary = "", .description = "", .words = "[ID]", .run = nothing},
                   {.path = "queue pause", .summary = "", .description = "", .run = nothing}}};
}

Invocation parsed(std::vector<std::string_view> words) {
  static const Registry all = registry();
  return parse(all, words);
}

TEST(CliParse, WordsBehindTheCommandAreItsOwnAlsoWhenTheyNameCommands) {
  EXPECT_THAT(parsed({"run", "queue"}).arguments.words, ElementsAre("queue"));
  EXPECT_THAT(parsed({"run", "run", "-w", "-"}).arguments.words, ElementsAre("run", "-"));
}

TEST(CliParse, ACommandMayHaveCommandsOfItsOwn) {
  EXPECT_EQ(parsed({"run", "history"}).command->path, "run history");
  EXPECT_EQ(parsed({"run", "-q", "history"}).command->path, "run history");
  EXPECT_THAT(parsed({"run", "history", "history"}).arguments.words, ElementsAre("history"));
  // Behind an argument or an option of the command the word is an argument.
  for (const std::vector<std::string_view>& words : {std::vector<std::string_view>{"run", "x", "history"},
                                                     {"run", "-w", "history"},
                                                     {"run", "./history"}}) {
    EXPECT_EQ(parsed(words).command->path, "run");
  }
}

TEST(CliParse, TheRestIsUntouched) {
  const Invocation invocation = parsed({"run", "x", "--", "-w", "--json", "--"});
  EXPECT_THAT(invocation.arguments.rest, ElementsAre("-w", "--json", "--"));
  EXPECT_FALSE(invocation.arguments.has("wait"));
  EXPECT_FALSE(invocation.global.json);
}

TEST(CliParse, FormsOfAValue) {
  for (const std::vector<std::string_view>& words : {std::vector<std::string_view>{"run", "-p", "a=b"},
                                                     {"run", "-pa=b"},
                                                     {"run", "-wpa=b"},
                                                     {"run", "--param", "a=b"},
                                                     {"run", "--param=a=b"},
                                                     {"run", "-p", "old", "--param=a=b"}}) {
    EXPECT_EQ(parsed(words).arguments.value("param"), "a=b");
  }
  EXPECT_EQ(parsed({"run", "--param="}).arguments.value("param"), "");
  EXPECT_EQ(parsed({"run", "--param=-x"}).arguments.value("param"), "-x");
  EXPECT_EQ(parsed({"run"}).arguments.value("param"), std::nullopt);
  EXPECT_THROW(parsed({"run", "--param", "-x"}), Error);
}

TEST(CliParse, GlobalOptions) {
  const Invocation invocation =
      parsed({"-C", "/p", "queue", "--quiet", "pause", "-v", "--log", "json", "--color=never"});
  EXPECT_EQ(invocation.command->path, "queue pause");
  EXPECT_EQ(invocation.global.project, "/p");
  EXPECT_TRUE(invocation.global.quiet);
  EXPECT_EQ(invocation.global.log_level, log::Level::debug);
  EXPECT_EQ(invocation.global.log_format, log::Format::json);
  EXPECT_EQ(invocation.global.color, ColorChoice::never);
}

TEST(CliParse, ThatJsonIsWantedIsKnownBeforeTheWordsAreUnderstood) {
  const std::vector<std::string_view> yes{"nonsense", "--json"};
  const std::vector<std::string_view> no{"run", "--", "--json"};
  EXPECT_TRUE(wants_json(yes));
  EXPECT_FALSE(wants_json(no));
}

TEST(CliParse, KnowsWhoseStandardOutputIsATapsStates) {
  using Line = std::vector<std::string_view>;
  for (const Line& yes : {Line{"load", "--singer"}, Line{"load", "--format=singer", "--nonsense"},
                          Line{"load", "x", "--format", "singer"}})
    EXPECT_TRUE(tells_states(yes));
  for (const Line& no : {Line{"load", "--", "--singer"}, Line{"load", "singer"}, Line{"singer"}, Line{}})
    EXPECT_FALSE(tells_states(no));
}

TEST(CliWidth, CountsColumns) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("zürich"), 6U);
  EXPECT_EQ(display_width("u\u0308"), 1U);
  EXPECT_EQ(display_width("日本"), 4U);
  EXPECT_EQ(display_width("🚰"), 2U);
  EXPECT_EQ(display_width("\xff"), 1U);
}

TEST(CliWidth, ElidesInTheMiddle) {
  EXPECT_EQ(elide_middle("/home/eve/project", 17), "/home/eve/project");
  EXPECT_EQ(elide_middle("/home/eve/project", 11), "/hom...ject");
  EXPECT_EQ(elide_middle("日本日本日本", 8), "日...本");
  EXPECT_EQ(elide_middle("abcdef", 2), "..");
  for (std::size_t width = 0; width < 14; ++width)
    EXPECT_LE(display_width(elide_middle("a日本u\u0308xy日本z", width)), width);
}

TEST(CliTable, LinesUpByWhatTheEyeSees) {
  Table table({{"name"}, {"rows", Table::Align::right}, {"note"}});
  table.add({"日本", "5", "x"});
  table.add({"u\u0308ber", "12345", ""});
  table.add({"a\tb", "", ""});
  EXPECT_EQ(table.render(Paint(false)),
            "name     rows  note\n"
            "日本        5  x\n"
            "u\u0308ber    12345\n"
            "a\\x09b\n");
}

TEST(CliTable, ColoursDoNotCountAndNoTitlesMeanNoHeader) {
  Table table({{""}, {""}});
  table.add({Table::Cell("ok", Color::green), "fine"});
  table.add({"fail", "bad"});
  EXPECT_EQ(table.render(Paint(true)), "\x1b[32mok\x1b[0m    fine\nfail  bad\n");
}

TEST(CliTerminal, Decides) {
  const TerminalFacts terminal{.is_terminal = true};
  EXPECT_TRUE(decide(terminal, ColorChoice::automatic).color);
  EXPECT_TRUE(decide(terminal, ColorChoice::automatic).overprint);
  EXPECT_FALSE(decide(terminal, ColorChoice::never).color);
  EXPECT_FALSE(decide({}, ColorChoice::automatic).color);
  EXPECT_TRUE(decide({}, ColorChoice::always).color);
  EXPECT_FALSE(decide({}, ColorChoice::always).overprint);
  const TerminalFacts dumb{.is_terminal = true, .dumb = true};
  EXPECT_FALSE(decide(dumb, ColorChoice::automatic).overprint);
  EXPECT_FALSE(decide(dumb, ColorChoice::automatic).color);
}

Failure failure_of_thrown(auto thrown) {
  try {
    throw thrown;
  } catch (...) {
    return failure_of(std::current_exception());
  }
}

TEST(CliFailure, WhateverIsThrownHasAMessageAndACode) {
  const Failure ours = failure_of_thrown(Error(ExitCode::refused, "no", "do that"));
  EXPECT_EQ(to_text(ours, Paint(false)), "weir: no\n  do that\n");
  EXPECT_EQ(to_json(ours), R"({"error":{"code":5,"message":"no","remedy":"do that"}})"
                           "\n");
  const Failure other = failure_of_thrown(std::runtime_error("boom"));
  EXPECT_EQ(other.code, ExitCode::failed);
  EXPECT_THAT(to_text(other, Paint(false)), HasSubstr("weir: unexpected failure: boom\n  This is a defect"));
  EXPECT_EQ(failure_of_thrown(std::bad_alloc()).message, "out of memory");
  EXPECT_EQ(failure_of_thrown(7).message, "unexpected failure");
}

TEST(CliFailure, SeveralLinesAndOddBytesStayReadable) {
  EXPECT_EQ(to_text({ExitCode::failed, "one\ntwo\x1b[31m\n", ""}, Paint(false)),
            "weir: one\n  two\\x1b[31m\n");
}

}  // namespace
}  // namespace weir::cli
