// What people do to runs from the command line.
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "support/database.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::HasSubstr;

class CliRuns : public SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    std::filesystem::create_directories(folder_.path() / "pipelines/p");
    std::ofstream(folder_.path() / "weir.yml") << "name: test\n";
    std::ofstream(folder_.path() / "pipelines/p/pipeline.yml")
        << "tasks:\n  a: {run: ['true']}\n  b: {after: a, run: ['true']}\n";
    ASSERT_EQ(weir({"deploy"}).status, 0);
  }
  [[nodiscard]] WeirResult weir(const std::vector<std::string>& words) const {
    return run_weir(words, {.env = {{"DATABASE_URL", url()}}, .folder = folder_.path()});
  }

  ScratchFolder folder_{"runs"};
};

TEST_F(CliRuns, LoadsOfAPipelineHaveStatesOfTheirOwn) {
  std::ofstream(folder_.path() / "pipelines/p/rows.csv") << "id\n1\n";
  std::ofstream(folder_.path() / "pipelines/p/pipeline.yml")
      << "tasks:\n"
         "  a: {load: {source: rows.csv, into: a, key: id}}\n"
         "  b: {load: {source: rows.csv, into: b, key: id}}\n"
         "  m: {map: [1, 2], load: {source: rows.csv, into: m, mode: append, staged: true}}\n";
  ASSERT_EQ(weir({"deploy"}).status, 0);
  ASSERT_EQ(weir({"run", "p"}).status, 0);
  EXPECT_EQ(weir({"worker", "--once"}).status, 0) << weir({"runs", "1"}).out;
  EXPECT_EQ(session()
                .execute("SELECT string_agg(stream, ',' ORDER BY stream) FROM weir.load_state")[0]
                .get<std::string>(0),
            "a,b,m/0,m/1");
}

TEST_F(CliRuns, ARunThatWasCancelledBeforeItsTurnIsDoneAfterAll) {
  ASSERT_EQ(weir({"run", "p"}).status, 0);
  ASSERT_THAT(weir({"run", "p"}).out, HasSubstr("run 2 of p waits for its turn"));
  ASSERT_EQ(weir({"cancel", "2"}).status, 0);
  EXPECT_EQ(weir({"cancel", "1"}).out, "run 1: what runs is told to stop\n");
  const WeirResult again = weir({"clear", "2"});
  EXPECT_EQ(again.out, "run 2: 2 tasks begin again\n") << again.err;
  EXPECT_EQ(weir({"worker", "--once"}).status, 0);
  EXPECT_THAT(weir({"runs"}).out, HasSubstr("success"));
}

}  // namespace
}  // namespace weir::test
