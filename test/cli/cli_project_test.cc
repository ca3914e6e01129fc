// weir init and weir check, as a user has them.
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
