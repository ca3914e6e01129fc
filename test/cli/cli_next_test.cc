#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "weir_program.h"

namespace weir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(CliNext, ShowsLocalTimeAndUtcAndWhatTheClocksDo) {
  const WeirResult result =
      run_weir({"next", "--cron", "30 2 * * *", "-z", "Europe/Berlin", "--after", "2026-03-28", "-n", "3"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, R"(Europe/Berlin              UTC
2026-03-28 02:30:00  CET   2026-03-28 01:30:00
2026-03-29 03:00:00  CEST  2026-03-29 01:00:00  clocks went forward: +01:00 > +02:00; moved: the hour it was for is skipped
2026-03-30 02:30:00  CEST  2026-03-30 00:30:00
)");
}

TEST(CliNext, IsADocumentForScripts) {
  const WeirResult result = run_weir({"next", "--cron=30 2 * * *", "--timezone=Europe/Berlin",
                                      "--overlap=both", "--after=2026-10-25", "--count=2", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const json document = json::parse(result.out);
  EXPECT_EQ(document["timezone"], "Europe/Berlin");
  ASSERT_EQ(document["runs"].size(), 2U);
  EXPECT_EQ(document["runs"][0]["at"], "2026-10-25T00:30:00Z");
  EXPECT_EQ(document["runs"][1]["at"], "2026-10-25T01:30:00Z");
  EXPECT_EQ(document["runs"][1]["local"], "2026-10-25T02:30:00+01:00");
  EXPECT_EQ(document["runs"][1]["interval_start"], "2026-10-25T00:30:00Z");
}

TEST(CliNext, ARhythmCountsFromItsStart) {
  const WeirResult result = run_weir(
      {"next", "--every", "90m", "--start", "2026-01-01T00:10Z", "--after", "2026-01-01", "-n2", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const json runs = json::parse(result.out)["runs"];
  EXPECT_EQ(runs[0]["at"], "2026-01-01T00:10:00Z");
  EXPECT_EQ(runs[1]["at"], "2026-01-01T01:40:00Z");
  EXPECT_EQ(run_weir({"next", "--every", "1d"}).status, 0);
}

TEST(CliNext, MistakesNameTheirPlace) {
  const auto failure = [](const std::vector<std::string>& more) {
    std::vector<std::string> words{"next"};
    words.insert(words.end(), more.begin(), more.end());
    return run_weir(words);
  };
  const WeirResult cron = failure({"--cron", "0 0 30 feb *"});
  EXPECT_EQ(cron.status, 3);
  EXPECT_THAT(cron.err, HasSubstr("column 5, day of month"));
  const WeirResult zone = failure({"--cron", "@daily", "-z", "Europe/Berln"});
  EXPECT_EQ(zone.status, 3);
  EXPECT_THAT(zone.err, HasSubstr("Did you mean Europe/Berlin?"));
  EXPECT_EQ(failure({}).status, 2);
  EXPECT_EQ(failure({"--cron", "@daily", "--every", "1h"}).status, 2);
  EXPECT_EQ(failure({"--cron", "@daily", "--gap", "jump"}).status, 2);
  EXPECT_EQ(failure({"--cron", "@daily", "--overlap", "none"}).status, 2);
  EXPECT_EQ(failure({"--cron", "@daily", "--after", "tomorrow"}).status, 2);
}

}  // namespace
}  // namespace weir::test
