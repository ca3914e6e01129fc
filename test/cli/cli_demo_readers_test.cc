// `weir demo readers`: what its figures may and may not say. Times are of no concern here.
#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/database.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;
using nlohmann::json;

class CliDemoReaders : public SchemaTest {
 protected:
  WeirResult run(const Words& more) {
    Words words{"demo", "readers"};
    words.insert(words.end(), more.begin(), more.end());
    return run_weir(words, {.env = {{"DATABASE_URL", url()}}});
  }
  std::string value(const std::string& sql) { return session().execute(sql)[0].get<std::string>(0); }
};

TEST_F(CliDemoReaders, NobodySeesAnEmptyTableOrAMixtureOfWeirs) {
  const WeirResult result = run({"--json", "--rows", "2000", "--dashboards", "3", "--seconds", "1"});
  ASSERT_EQ(result.status, 0) << result.err;
  const json document = json::parse(result.out);
  EXPECT_EQ(document.at("rows"), 2000);
  EXPECT_EQ(document.at("dashboards"), 3);
  const json& ways = document.at("results");
  ASSERT_EQ(ways.size(), 3U);
  for (const json& way : ways) {
    SCOPED_TRACE(way.dump());
    EXPECT_GE(way.at("replacements"), 1);
    EXPECT_GT(way.at("reads"), 0);
    EXPECT_GT(way.at("rows_written"), 0);
    EXPECT_GT(way.at("wal_bytes"), 0);
    EXPECT_FALSE(way.at("timeline_seconds").empty());
    EXPECT_GE(way.at("longest_seconds"), way.at("p99_seconds"));
    EXPECT_GE(way.at("seconds"), way.at("replacement_seconds"));
  }
  EXPECT_EQ(ways[0].at("strongest_lock"), "ACCESS EXCLUSIVE");
  EXPECT_EQ(ways[1].at("strongest_lock"), "ROW EXCLUSIVE");
  const json& weir = ways[2];
  EXPECT_EQ(weir.at("strongest_lock"), "ROW EXCLUSIVE");
  EXPECT_EQ(weir.at("empty"), 0);
  EXPECT_EQ(weir.at("mixed"), 0);
  EXPECT_EQ(weir.at("waited"), 0);
  EXPECT_EQ(weir.at("rows_written"), 20) << "one row of a hundred has changed";
  EXPECT_GT(ways[1].at("rows_written"), 2000) << "DELETE and INSERT write all of them";
  EXPECT_EQ(value("SELECT coalesce(to_regnamespace('weir_demo')::text, 'gone')"), "gone");
  EXPECT_EQ(value("SELECT count(*)::text FROM weir.load_run"), "0")
      << "its loads are no history of anybody's";
}

TEST_F(CliDemoReaders, PeopleGetAPictureAndATable) {
  const WeirResult result = run({"--rows", "2000", "--dashboards", "1", "--seconds", "1"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("TRUNCATE"), HasSubstr("DELETE"), HasSubstr("Weir"),
                                HasSubstr("empty, mixed: reads that found no rows")));
  EXPECT_THAT(result.err, HasSubstr("replaced 1 time,"));
  for (const Words& words :
       std::vector<Words>{{"--rows", "1"}, {"--dashboards", "0"}, {"--seconds", "x"}, {"-r", "9"}})
    EXPECT_EQ(run(words).status, 2) << ::testing::PrintToString(words);
}

TEST_F(CliDemoReaders, ASchemaOfThatNameThatIsSomebodysIsLeftAlone) {
  session().execute_script("CREATE SCHEMA weir_demo; CREATE TABLE weir_demo.mine (id int)");
  const WeirResult result = run({"--rows", "2000", "--seconds", "1"});
  EXPECT_EQ(result.status, 5) << result.out;
  EXPECT_THAT(result.err, HasSubstr("weir_demo"));
  EXPECT_EQ(value("SELECT to_regclass('weir_demo.mine')::text"), "weir_demo.mine");
}

}  // namespace
}  // namespace weir::test
