// The pure parts of running a task: templates, the bounded log, the statements of a script.
#include <filesystem>
#include <map>

#include <stdlib.h>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "pipeline/task/sql_script.h"
#include "pipeline/task/task_log.h"
#include "pipeline/task/template.h"
#include "support/errors.h"

namespace weir::pipeline {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TaskContext context() {
  return {.pipeline = "shop",
          .run = 17,
          .task = "extract",
          .attempt = 3,
          .logical_time = std::chrono::sys_days(std::chrono::year(2026) / 3 / 29),
          .params = R"({"x":"v\"1","n":1.10,"list":[1,{"a":2}],"nil":null,"ü":true})",
          .item = R"({"id":7,"at":{"city":"K\u00f6ln"}})"};
}

std::string bound(std::string_view text, TemplateUse use = TemplateUse::argument) {
  return bind_template(text, use, context(), "/nowhere");
}

TEST(PipelineTemplate, PutsValuesInPlace) {
  EXPECT_EQ(bound("a ${param:x} ${param:n} ${param:list} ${param:ü}"), R"(a v"1 1.10 [1,{"a":2}] true)");
  EXPECT_EQ(bound("${item.id}/${item.at.city}/${item.at}"), R"(7/Köln/{"city":"K\u00f6ln"})");
  EXPECT_EQ(bound("${item}"), context().item);
  EXPECT_EQ(bound("${logical_time} ${run_id} ${task} ${attempt}"), "2026-03-29T00:00:00Z 17 extract 3");
  EXPECT_EQ(bound("$HOME $ $$ $1 $${x} {y} }"), "$HOME $ $$ $1 ${x} {y} }");
  // A value is never a template.
  TaskContext nested = context();
  nested.params = R"({"x":"${param:n}"})";
  EXPECT_EQ(bind_template("${param:x}", TemplateUse::argument, nested, ""), "${param:n}");
}

TEST(PipelineTemplate, NamesThatDoNotExistAreErrorsOfTheDefinition) {
  const std::map<std::string, std::string> wrong{{"ab${parm:x}", "column 3: '${parm:x}' is not known"},
                                                 {"${}", "is not known"},
                                                 {"${param}", "of what"},
                                                 {"${param:}", "of what"},
                                                 {"${item.}", "of what"},
                                                 {"${items}", "is not known"},
                                                 {"${task:x}", "nothing behind"},
                                                 {"${param:x", "has no end"},
                                                 {"${env:HOME}", "no place in an argument"},
                                                 {"${file:key}", "no place in an argument"}};
  for (const auto& [text, message] : wrong) {
    const Error error = error_of([&] { bound(text); });
    EXPECT_EQ(error.exit_code(), ExitCode::definition) << text;
    EXPECT_THAT(error.what(), HasSubstr(message));
    EXPECT_NE(error.remedy(), "") << text;
  }
  EXPECT_EQ(error_of([] { bound("${parm:x}"); }).remedy(), "Did you mean param?");
}

TEST(PipelineTemplate, ValuesThatAreNotThereAreErrorsOfTheRun) {
  for (const char* const text : {"${param:gone}", "${param:nil}", "${item.gone}", "${item.id.x}",
                                 "${env:WEIR_NO_SUCH}", "${file:gone}"}) {
    const Error error = error_of([&] { bound(text, TemplateUse::value); });
    EXPECT_EQ(error.exit_code(), ExitCode::failed) << text;
  }
  ::setenv("WEIR_TEST_SECRET", "s3cret", 1);
  EXPECT_EQ(bound("<${env:WEIR_TEST_SECRET}>", TemplateUse::value), "<s3cret>");
  ::unsetenv("WEIR_TEST_SECRET");
  TaskContext zero = context();
  zero.params = R"({"x":"a\u0000b"})";
  EXPECT_THAT(error_of([&] { bind_template("${param:x}", TemplateUse::argument, zero, ""); }).what(),
              HasSubstr("zero byte"));
}

TEST(TaskLog, KeepsHeadAndTailAndCountsTheMiddle) {
  constexpr std::size_t kLine = sizeof(LogLine) + 10;
  TaskLog log({.head_bytes = 3 * kLine, .tail_bytes = 2 * kLine});
  const auto add = [&](int from, int to) {
    for (int i = from; i <= to; ++i) log.append(LogStream::out, {}, "number " + std::to_string(100 + i));
  };
  add(1, 2);
  EXPECT_EQ(log.take_head().size(), 2U);
  add(3, 9);
  const auto head = log.take_head();
  ASSERT_EQ(head.size(), 1U);
  EXPECT_EQ(head[0].number, 3);
  ASSERT_EQ(log.tail_after().size(), 2U);
  EXPECT_EQ(log.tail_after()[0].number, 8);
  EXPECT_EQ(log.tail_after()[1].text, "number 109");
  EXPECT_EQ(log.tail_after(8).size(), 1U);
  EXPECT_EQ(log.counts().lines, 9);
  EXPECT_EQ(log.counts().lines_left_out, 4);
  EXPECT_EQ(log.counts().bytes_left_out, 4 * 11);
}

TEST(TaskLog, AShortLineDoesNotOvertakeALongOne) {
  TaskLog log({.head_bytes = 2 * sizeof(LogLine) + 10, .tail_bytes = 10'000});
  log.append(LogStream::out, {}, "1");
  log.append(LogStream::out, {}, std::string(100, 'x'));
  log.append(LogStream::out, {}, "3");
  EXPECT_EQ(log.take_head().size(), 1U);
  EXPECT_EQ(log.tail_after().size(), 2U);
}

TEST(TaskLog, OneLineThatIsLargerThanTheTailIsKept) {
  TaskLog log({.head_bytes = 0, .tail_bytes = 10});
  log.append(LogStream::out, {}, std::string(100, 'x'));
  log.append(LogStream::out, {}, std::string(100, 'y'));
  ASSERT_EQ(log.tail_after().size(), 1U);
  EXPECT_EQ(log.tail_after()[0].text.front(), 'y');
}

TEST(LogLines, CutsLinesWhereverThePiecesEnd) {
  class KeptTexts final : public LogSink {
   public:
    void append(LogStream, WallTime, std::string_view line) override { all.emplace_back(line); }
    std::vector<std::string> all;
  };
  const std::string text = "one\n\ntwo\r\n" + std::string(20, 'x') + "\nü" + "\xF0\x9F" + "\nlast";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    KeptTexts sink;
    LogLines lines(sink, LogStream::out, 8);
    for (std::size_t at = 0; at < text.size(); at += piece)
      lines.append(std::string_view(text).substr(at, piece), {});
    lines.finish({});
    EXPECT_THAT(sink.all, ElementsAre("one", "", "two", "xxxxxxxx [12 bytes of this line left out]",
                                      "ü\uFFFD\uFFFD", "last"));
  }
}

std::vector<std::string> statements(const std::string& text) {
  const SqlScript script(text, "a.sql");
  std::vector<std::string> out;
  for (const SqlStatement& statement : script.statements()) out.push_back(script.text_of(statement));
  return out;
}

TEST(SqlScript, CutsWherePsqlCuts) {
  EXPECT_THAT(statements("select 1; select 2"), ElementsAre("select 1", "select 2"));
  EXPECT_THAT(statements("\xEF\xBB\xBF;; -- c;\n /* ; /* ; */ ; */ select 1 ; -- end\n"),
              ElementsAre("select 1"));
  EXPECT_THAT(statements("select ';', \"a;b\", 'it''s;'; x"),
              ElementsAre("select ';', \"a;b\", 'it''s;'", "x"));
  EXPECT_THAT(statements(R"(select E'\';', e'a''\\'; x)"), ElementsAre(R"(select E'\';', e'a''\\')", "x"));
  EXPECT_THAT(statements("select E'a' -- c\n '\\';'; x"), ElementsAre("select E'a' -- c\n '\\';'", "x"));
  // Not a string with escapes: a name that ends in e, and one of a column.
  EXPECT_THAT(statements(R"(select type'\'; x)"), ElementsAre(R"(select type'\')", "x"));
  EXPECT_THAT(statements(R"(select '\'; x)"), ElementsAre(R"(select '\')", "x"));
  EXPECT_THAT(statements("do $$ a; $x$ b; $$; select $x$;$$;$x$"),
              ElementsAre("do $$ a; $x$ b; $$", "select $x$;$$;$x$"));
  EXPECT_THAT(statements("select a$b$ ; x$b$"), ElementsAre("select a$b$", "x$b$"));
  EXPECT_THAT(statements("select $1; x"), ElementsAre("select $1", "x"));
  EXPECT_THAT(statements("create rule r as on insert to t do (a; b); x"),
              ElementsAre("create rule r as on insert to t do (a; b)", "x"));
  EXPECT_THAT(statements("select 1+--c;\n2; x"), ElementsAre("select 1+--c;\n2", "x"));
  EXPECT_THAT(statements("select ü;x"), ElementsAre("select ü", "x"));
  EXPECT_THAT(statements("  -- nothing\n"), ElementsAre());
}

TEST(SqlScript, BodiesOfFunctionsKeepTheirSemicolons) {
  const std::string body =
      "create or replace function f(a int) returns int language sql begin atomic select case when a > 0 then "
      "1 else 2 "
      "end; select 3; end";
  EXPECT_THAT(statements(body + "; x"), ElementsAre(body, "x"));
  EXPECT_THAT(statements("CREATE PROCEDURE p() BEGIN ATOMIC a; END; x"),
              ElementsAre("CREATE PROCEDURE p() BEGIN ATOMIC a; END", "x"));
  EXPECT_THAT(
      statements("create table begin_atomic (a int); create view v as select case when true then 1 end; x"),
      ElementsAre("create table begin_atomic (a int)", "create view v as select case when true then 1 end",
                  "x"));
}

TEST(SqlScript, KnowsThePlaceOfEachStatementAndCharacter) {
  const SqlScript script("-- a\nselect 1;\n\n  select\n  'ü', x;", "p/a.sql");
  ASSERT_EQ(script.statements().size(), 2U);
  EXPECT_EQ(script.statements()[0].line, 2);
  EXPECT_EQ(script.statements()[1].line, 4);
  EXPECT_EQ(script.statements()[1].begin, 18U);
  const Position x = script.position_of(script.statements()[1], 15);
  EXPECT_EQ(x.file, "p/a.sql");
  EXPECT_EQ(x.line, 5);
  EXPECT_EQ(x.column, 8);
  const Position first = script.position_of(script.statements()[0], 1);
  EXPECT_EQ(first.line, 2);
  EXPECT_EQ(first.column, 1);
  EXPECT_EQ(script.place(4), "p/a.sql:4");
  EXPECT_EQ(SqlScript("x", "").place(1), "line 1 of the SQL");
}

TEST(SqlScript, RefusesWhatWouldEndTheTransaction) {
  for (const char* const text : {"begin", "BEGIN; select 1", "start transaction", "commit", "END", "rollback",
                                 "abort", "rollback work", "commit prepared 'x'", "rollback prepared 'x'",
                                 "prepare transaction 'x'", "/* c */ Commit and chain"}) {
    const Error error = error_of([&] { SqlScript("select 1;\n" + std::string(text), "p.sql"); });
    EXPECT_EQ(error.exit_code(), ExitCode::definition) << text;
    EXPECT_THAT(error.what(), HasSubstr("p.sql:2: ")) << text;
    EXPECT_THAT(error.remedy(), HasSubstr("savepoints")) << text;
  }
  for (const char* const text :
       {"savepoint a", "rollback to a", "rollback work to savepoint a", "release a",
        "prepare transaction as select 1", "prepare x as select 1", "start_it()",
        "set transaction isolation level serializable", "do $$ begin commit; end $$"})
    EXPECT_EQ(error_of([&] { SqlScript(text, "p.sql"); }).exit_code(), ExitCode::ok) << text;
}

TEST(SqlScript, RefusesWhatIsForPsqlAlone) {
  const std::map<std::string, std::string> wrong{
      {"select 1;\n\\copy t from 'x'", "p.sql:2: '\\copy t from 'x'' is a command of psql"},
      {"select 1 \\gset", "p.sql:1: '\\gset'"},
      {"copy t from stdin", "COPY from or to the client"},
      {"copy (select 1 from stdin) to stdout", "COPY from or to the client"},
      {"select 1;\n\n select 'a", "p.sql:3: a quote has no end"},
      {"select $a$ $b$", "p.sql:1: a quote has no end"},
      {"select E'\\'", "a quote has no end"},
      {"select \"a", "a quote has no end"},
      {"a;\n/* /* */", "p.sql:2: a comment has no end"},
      {"a\n\xFF", "p.sql:2: it is not UTF-8"},
      {std::string("a\0b", 3), "p.sql:1: a zero byte"}};
  for (const auto& [text, message] : wrong) {
    const Error error = error_of([&] { SqlScript(text, "p.sql"); });
    EXPECT_EQ(error.exit_code(), ExitCode::definition) << text;
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
  EXPECT_EQ(
      error_of([] { SqlScript("copy t from '/x'; copy (select 1 from stdin) to '/y'", ""); }).exit_code(),
      ExitCode::ok);
}

}  // namespace
}  // namespace weir::pipeline
