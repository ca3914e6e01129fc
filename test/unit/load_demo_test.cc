#include <gtest/gtest.h>

#include "cli/readers_picture.h"
#include "load/demo/scenery.h"

namespace weir::load::demo {
namespace {

using namespace std::chrono_literals;
using Seen = ReadRecord::Seen;

TEST(LoadDemoMarks, TellAGenerationFromAnyMixtureOfTwo) {
  for (const std::int64_t generation : {0, 1, 50, 99, 100, 101, 777}) {
    std::int64_t sum = 0;
    std::int64_t changed = 0;
    for (std::int64_t id = 1; id <= 100; ++id) {
      sum += mark_of(id, generation);
      changed += mark_of(id, generation) != mark_of(id, generation + 1) ? 1 : 0;
    }
    EXPECT_EQ(sum, sum_of_marks(generation));
    EXPECT_EQ(changed, 1) << "one row of a hundred";
    EXPECT_LT(sum_of_marks(generation), sum_of_marks(generation + 1));
    EXPECT_EQ(judge(2000, 2000, 20 * sum, generation), Seen::whole);
    EXPECT_EQ(judge(2000, 0, 0, 0), Seen::empty);
    EXPECT_EQ(judge(2000, 1999, 20 * sum, generation), Seen::mixed);
    // One of twenty rows is new already.
    const std::int64_t step = sum_of_marks(generation + 1) - sum;
    EXPECT_EQ(judge(2000, 2000, 20 * sum + step, generation + 1), Seen::mixed);
  }
}

TEST(LoadDemoRecord, CountsTheReadsThatAWaitKeptFromBeginning) {
  ReadRecord record(100ms);
  for (int i = 0; i < 199; ++i) record.add(0ms, 1ms, Seen::whole, false);
  record.add(1s, 2s, Seen::empty, true);
  const ReadFigures figures = record.figures();
  EXPECT_EQ(figures.reads, 200);
  EXPECT_EQ(figures.waited, 1);
  EXPECT_EQ(figures.empty, 1);
  EXPECT_EQ(figures.longest, 2s);
  EXPECT_GT(figures.p99, 1500ms) << "one of 200 reads, but 2 s in which nobody would have had an answer";
}

TEST(LoadDemoRecord, DrawsWhatWasLeftOfAWait) {
  ReadRecord record(25ms);
  record.add(200ms, 300ms, Seen::whole, false);
  record.add(510ms, 1ms, Seen::whole, false);
  const std::vector<Duration> wanted{0ms, 0ms, 300ms, 200ms, 100ms, 1ms};
  EXPECT_EQ(record.figures().timeline, wanted);
}

TEST(LoadDemoPicture, HasALineForEachPowerOfTen) {
  ReadersDemoWay way;
  way.name = "TRUNCATE";
  way.lasted = 1s;
  way.reads.timeline = {1ms, 10ms, 100ms, 1s, 10s, 0ms, 1ms};
  way.spans = {{200ms, 390ms}};
  const std::string text = cli::readers_picture({&way, 1}, 20, cli::Paint(false));
  EXPECT_EQ(text,
            "TRUNCATE  longest read 0 µs, 0 waited for a lock, 0 empty, 0 mixed\n"
            "   1 s │    █\n"
            "100 ms │   ██\n"
            " 10 ms │  ███\n"
            "  1 ms │▁████ ▁\n"
            "       └──━━──────\n");
}

}  // namespace
}  // namespace weir::load::demo
