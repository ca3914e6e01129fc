// Which partitions of a stream are past their time.

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "stream/retention.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

WallTime day(int number) { return WallTime(std::chrono::hours(24 * number)); }

/// Of the days 0, 1, 2, ..; each of 100 bytes.
std::vector<Partition> days(int count) {
  std::vector<Partition> partitions;
  for (int i = 0; i < count; ++i)
    partitions.push_back({.name = "d" + std::to_string(i), .span = {day(i), day(i + 1)}, .bytes = 100});
  return partitions;
}

std::vector<std::string> names(const std::vector<Expired>& expired) {
  std::vector<std::string> names;
  for (const Expired& one : expired)
    names.push_back(one.partition.name + (one.in_spite_of_groups ? "!" : ""));
  return names;
}

TEST(StreamRetention, WithoutLimitsNothingGoes) { EXPECT_THAT(expired(days(100), day(1000), {}), IsEmpty()); }

TEST(StreamRetention, APartitionGoesWhenItsLastEventIsOldEnough) {
  const Retention two_days{.time = 48h, .bytes = {}, .hold = 1000h};
  EXPECT_THAT(names(expired(days(4), day(3) - 1us, two_days)), IsEmpty());
  EXPECT_THAT(names(expired(days(4), day(3), two_days)), ElementsAre("d0"));
  EXPECT_THAT(names(expired(days(4), day(5), two_days)), ElementsAre("d0", "d1", "d2"));
}

TEST(StreamRetention, GroupsHoldItForSoLongAndNoLonger) {
  const Retention retention{.time = 24h, .bytes = {}, .hold = 48h};
  EXPECT_THAT(names(expired(days(3), day(4), retention)), ElementsAre("d0!", "d1", "d2"));
}

TEST(StreamRetention, ATooLargeStreamLosesItsOldestDaysButNeverThePresentOne) {
  const Retention small{.time = {}, .bytes = 250, .hold = 24h};
  EXPECT_THAT(names(expired(days(5), day(5), small)), ElementsAre("d0!", "d1!", "d2!"));
  EXPECT_THAT(names(expired(days(5), day(5) - 1us, small)), ElementsAre("d0!", "d1!", "d2!"));
  const Retention nothing{.time = {}, .bytes = 0, .hold = 1000h};
  EXPECT_THAT(names(expired(days(3), day(3) - 1us, nothing)), ElementsAre("d0", "d1"));
}

TEST(StreamRetention, WhatHasNoBoundsStays) {
  std::vector<Partition> partitions{
      {.name = "rest", .span = {WallTime::min(), WallTime::max()}, .bytes = 1, .is_default = true},
      {.name = "before", .span = {WallTime::min(), day(0)}, .bytes = 1},
      {.name = "after", .span = {day(1), WallTime::max()}, .bytes = 1},
      {.name = "d0", .span = {day(0), day(1)}, .bytes = 1}};
  EXPECT_THAT(names(expired(partitions, day(100), {.time = 1h, .bytes = {}, .hold = 1000000h})),
              ElementsAre("d0"));
}

}  // namespace
}  // namespace weir::stream
