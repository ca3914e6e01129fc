// weir init and weir check, as a user has them.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "weir_program.h"

namespace weir::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string text_of(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

class CliProject : public ::testing::Test {
 protected:
  CliProject() : folder_(fs::temp_directory_path() / ("weir-project-" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~CliProject() override { fs::remove_all(folder_); }

  [[nodiscard]] WeirResult weir(const std::vector<std::string>& words) const {
    return run_weir(words, {.folder = folder_});
  }
  void put(const fs::path& file, const std::string& text) const {
    fs::create_directories((folder_ / file).parent_path());
    std::ofstream(folder_ / file) << text;
  }

  fs::path folder_;
};

TEST_F(CliProject, InitMakesAProjectThatIsRight) {
  const WeirResult made = weir({"init", "demo"});
  EXPECT_EQ(made.status, 0) << made.err;
  EXPECT_EQ(made.out,
            "weir.yml\npipelines/rates/pipeline.yml\npipelines/rates/extract.sh\n"
            "pipelines/rates/models/gold_rates.sql\n.gitignore\n\nNext:\n  cd demo\n"
            "  weir check   looks through it\n"
            "  weir up      starts a PostgreSQL of its own, and the pipeline every minute\n");
  EXPECT_THAT(text_of(folder_ / "demo/weir.yml"), HasSubstr("\nname: demo\n"));
  EXPECT_THAT(text_of(folder_ / "demo/.gitignore"), StartsWith(".weir/\n"));
  const WeirResult checked = weir({"check", "demo"});
  EXPECT_EQ(checked.status, 0);
  EXPECT_EQ(checked.err, "");
  EXPECT_EQ(checked.out,
            "PIPELINE  TASKS  RUNS\n"
            "rates         3  every 1m\n"
            "demo: 1 pipeline, no mistake\n");
  EXPECT_EQ(weir({"-C", "demo", "check"}).out, checked.out);
}

TEST_F(CliProject, TheRatesAreTheSameEachTime) {
  ASSERT_EQ(weir({"init"}).status, 0);
  const std::string run = "cd '" + (folder_ / "pipelines/rates").string() + "' && sh extract.sh > /dev/null";
  ASSERT_EQ(std::system(run.c_str()), 0);
  const std::string first = text_of(folder_ / "pipelines/rates/data/rates.csv");
  EXPECT_THAT(first, StartsWith("day,pair,rate\n2026-01-01,EUR/USD,1.0854\n"));
  EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 31);
  ASSERT_EQ(std::system(run.c_str()), 0);
  EXPECT_EQ(text_of(folder_ / "pipelines/rates/data/rates.csv"), first);
}

TEST_F(CliProject, InitOverwritesNothing) {
  put("pipelines/rates/extract.sh", "mine");
  const WeirResult refused = weir({"init"});
  EXPECT_EQ(refused.status, 5);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, HasSubstr("pipelines/rates/extract.sh is there already\n  Choose another folder"));
  EXPECT_FALSE(fs::exists(folder_ / "weir.yml"));
  EXPECT_EQ(text_of(folder_ / "pipelines/rates/extract.sh"), "mine");
}

TEST_F(CliProject, InitKeepsWhatIsIgnored) {
  put(".gitignore", "build/\n.weir/");
  ASSERT_EQ(weir({"init"}).status, 0);
  EXPECT_EQ(text_of(folder_ / ".gitignore"), "build/\n.weir/\npipelines/*/data/\n");
}

TEST_F(CliProject, CheckTellsAllMistakesAtOnce) {
  put("weir.yml", "pools: {heavy: 0}\n");
  put("pipelines/a/pipeline.yml", "tasks:\n  t: {sql: x, pol: y}\n");
  put("pipelines/b/pipeline.yml", "tasks: [\n");
  const WeirResult result = weir({"check"});
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("pipelines/a/pipeline.yml:2:15: error: a task has no key 'pol'\n"
                                    "    2 |   t: {sql: x, pol: y}\n"
                                    "      |               ^\n"
                                    "  Did you mean 'pool'?\n"));
  EXPECT_THAT(result.out, HasSubstr("pipelines/b/pipeline.yml:2:1: error: the list that begins with '['"));
  EXPECT_THAT(result.out, HasSubstr("weir.yml:1:16: error: pool 'heavy' is 0"));
  EXPECT_THAT(result.out, HasSubstr("\n3 errors\n"));

  const WeirResult machine = weir({"check", "--json"});
  EXPECT_EQ(machine.status, 3);
  const auto document = nlohmann::json::parse(machine.out);
  EXPECT_EQ(document.at("ok"), false);
  EXPECT_EQ(document.at("errors"), 3);
  EXPECT_EQ(
      document.at("diagnostics").at(0).dump(),
      R"json({"column":15,"file":"pipelines/a/pipeline.yml","line":2,"message":"a task has no key 'pol'",)json"
      R"json("remedy":"Did you mean 'pool'?","severity":"error","source":"  t: {sql: x, pol: y}"})json");
}

// What would only be refused when it runs is a mistake of the definition.
TEST_F(CliProject, CheckTellsWhatALoadWouldRefuse) {
  put("weir.yml", "connections: {shop: 'postgresql://shop', secret: '${env:SHOP}'}\n");
  const auto checked = [this](const std::string& load) {
    put("pipelines/p/pipeline.yml",
        "parameters: {day: x}\ntasks:\n  t:\n    load:\n      into: a.b\n      " + load + "\n");
    return weir({"check"}).out;
  };
  const auto line = [](int number, int column, const std::string& message) {
    return HasSubstr("pipelines/p/pipeline.yml:" + std::to_string(number) + ":" + std::to_string(column) +
                     ": error: " + message);
  };
  EXPECT_THAT(checked("source: x\n      mode: window\n      window: foo"),
              AllOf(line(8, 15, "'window' is 'foo': its bounds are missing"),
                    HasSubstr("such as window: ts:2026-01-01..2026-02-01.")));
  EXPECT_THAT(checked("source: x\n      columns: id"), line(7, 16, "'columns': 'id' is not NAME:TYPE"));
  EXPECT_THAT(checked("source: x.csv\n      delimiter: abc"),
              line(7, 18, "'delimiter' is 'abc', which is not one character"));
  EXPECT_THAT(checked("source: x.csv\n      encoding: klingon"),
              line(7, 17, "'encoding' is 'klingon', which is none"));
  EXPECT_THAT(checked("source: x.json\n      trim: true"),
              line(7, 13, "'trim' is about separated values, and the source is json"));
  for (const char* const source : {"postgresql://h/d", "shop", "secret", "'${env:URL}'", "'${file:url}'"}) {
    EXPECT_THAT(checked(std::string("source: ") + source),
                AllOf(HasSubstr("error: which of its tables?"), HasSubstr("Add table: NAME")));
    EXPECT_THAT(checked(std::string("source: ") + source + "\n      table: t"), HasSubstr("no mistake"));
  }
  EXPECT_THAT(checked("source: 'data/${env:NAME}.csv'"),
              line(6, 15, "a secret can stand in the URL of a database alone"));
  EXPECT_THAT(checked("command: [tap]\n      format: singer"),
              AllOf(line(7, 15, "a load cannot read what a Singer tap writes"),
                    HasSubstr("weir load --singer --into")));
  EXPECT_THAT(checked("source: x\n      key: id\n      mode: swap\n      max_rejects: 3"),
              line(9, 20, "'max_rejects' has no meaning with mode swap"));
  put("pipelines/p/pipeline.yml", "tasks: {t: {load: {source: x, into: a.*}}}\n");
  EXPECT_THAT(weir({"check"}).out, AllOf(line(1, 37, "'into' is 'a.*', which is for Singer taps alone"),
                                         HasSubstr("weir load --singer")));
  for (const char* const right :
       {"source: x\n      mode: window\n      window: 'at:${interval_start}..${interval_end}'",
        "source: x\n      mode: window\n      window: 'at:${interval_start}:${interval_end}'",
        "source: x\n      mode: window\n      window: 'at:2026-01-01..${param:day}'",
        "source: '${param:day}'\n      query: 'select 1'", "source: '${param:day}/shop'\n      table: t",
        "source: '${param:day}'\n      table: t\n      format: sqlite",
        "source: '${param:day}'\n      delimiter: tab\n      null: ['-', NA]",
        "command: [cat, '${param:day}']\n      encoding: latin1\n      columns: "
        "'id:int8,amount:numeric(12,2)'",
        "source: shop\n      query: 'select 1'\n      key: [a, b]\n      not_compared: c"})
    EXPECT_THAT(checked(right), HasSubstr("no mistake"));
}

TEST_F(CliProject, CheckTellsWhatASqlTaskCannotSay) {
  put("weir.yml", "");
  put("pipelines/p/a.sql", "select 1;\n\n\\copy x from y\n");
  put("pipelines/p/pipeline.yml",
      "tasks:\n  a: {sql: {file: a.sql}}\n  b: {sql: begin; insert into x values (1); commit}\n  c: {sql: "
      "\"select 'x\"}\n");
  EXPECT_THAT(
      weir({"check"}).out,
      AllOf(HasSubstr("pipelines/p/a.sql:3:1: error: '\\copy x from y' is a command of psql"),
            HasSubstr("pipelines/p/pipeline.yml:3:12: error: line 1 of the SQL: "),
            HasSubstr("pipelines/p/pipeline.yml:4:12: error: line 1 of the SQL: a quote has no end")));
}

TEST_F(CliProject, WhatInitMakesRunsToItsEnd) {
  ASSERT_EQ(weir({"init"}).status, 0);
  const WeirSetup here{.folder = folder_};
  WeirProgram up({"up"}, here);
  up.wait_for("weir: ready");
  up.wait_for("rates added (version 1)");
  const WeirResult run = run_weir({"run", "rates", "--wait", "-q"}, here);
  EXPECT_EQ(run.status, 0) << run.out << run.err << weir({"runs", "1"}).out << weir({"logs", "1"}).out;
  EXPECT_THAT(run.out, HasSubstr(": success\n"));
  const auto number = run.out.substr(4, run.out.find(' ', 4) - 4);
  const auto shown = nlohmann::json::parse(weir({"runs", number, "--json"}).out, nullptr, false);
  ASSERT_TRUE(shown.is_object());
  for (const auto& task : shown.at("tasks")) EXPECT_EQ(task.at("state"), "success") << task;
  up.signal(SIGTERM);
  EXPECT_EQ(up.wait_end(), 0) << up.err();
}

TEST_F(CliProject, CheckWithoutAProjectSaysHowToMakeOne) {
  const WeirResult none = weir({"check"});
  EXPECT_EQ(none.status, 3);
  EXPECT_EQ(none.out,
            "weir.yml: error: there is no weir.yml, so this is no project\n"
            "  Make one: weir init DIR, or name its folder: weir -C DIR ..\n1 error\n");
  EXPECT_EQ(weir({"check", "nowhere"}).status, 2);
  const WeirResult schema = weir({"check", "--schema", "pipline"});
  EXPECT_EQ(schema.status, 2);
  EXPECT_THAT(schema.err, HasSubstr("Did you mean 'pipeline'?"));
}

// One table of keys makes the reader and the schemas; this holds the files to it.
TEST_F(CliProject, TheSchemasInTheDocumentationAreThoseOfTheReader) {
  const fs::path docs = fs::path(WEIR_TEST_DIR) / "../docs/schema";
  for (const auto& [word, file] :
       {std::pair{"pipeline", "pipeline.schema.json"}, std::pair{"project", "weir.schema.json"},
        std::pair{"model", "model.schema.json"}}) {
    EXPECT_EQ(weir({"check", "--schema", word}).out, text_of(docs / file))
        << "weir check --schema " << word << " > docs/schema/" << file;
  }
}

}  // namespace
}  // namespace weir::test
