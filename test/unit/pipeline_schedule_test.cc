#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pipeline/time/preview.h"
#include "pipeline/time/schedule.h"
#include "support/errors.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using test::has;
using Texts = std::vector<std::string>;

WallTime at(std::string_view text) {
  const auto parsed = parse_instant(text, Zone::load("UTC"));
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(WallTime{});
}

Schedule berlin(const std::string& cron, DstRule rule = {}) {
  return Schedule({.cron = cron, .timezone = "Europe/Berlin", .dst = rule});
}

/// Local times of the runs in [from, to), both UTC.
Texts runs(const Schedule& schedule, std::string_view from, std::string_view to) {
  Texts out;
  for (auto next = schedule.next_after(at(from) - 1us); next && *next < at(to);
       next = schedule.next_after(*next))
    out.push_back(local_text(*next, schedule.zone()).substr(5));
  return out;
}

// Berlin, 2026: 29 March 02:00 > 03:00 (01:00 UTC), 25 October 03:00 > 02:00 (01:00 UTC).
Texts in_gap(const Schedule& schedule) { return runs(schedule, "2026-03-29T00:00", "2026-03-29T03:00"); }
Texts in_overlap(const Schedule& schedule) { return runs(schedule, "2026-10-24T23:00", "2026-10-25T03:00"); }

TEST(Schedule, FixedHoursRunOnceInADayWithAGap) {
  EXPECT_EQ(in_gap(berlin("30 2 * * *")), (Texts{"03-29T03:00:00+02:00"}));
  EXPECT_EQ(in_gap(berlin("30 2,3 * * *")), (Texts{"03-29T03:00:00+02:00", "03-29T03:30:00+02:00"}));
  EXPECT_EQ(in_gap(berlin("0 2,3 * * *")), (Texts{"03-29T03:00:00+02:00"}));
  EXPECT_EQ(in_gap(berlin("*/15 2 * * *")), (Texts{"03-29T03:00:00+02:00"}));
  EXPECT_EQ(in_gap(berlin("30 2 * * *", {.gap = DstRule::Gap::skip})), Texts{});
  EXPECT_EQ(in_gap(berlin("59 1 * * *")), (Texts{"03-29T01:59:00+01:00"}));
}

TEST(Schedule, FixedHoursRunOnceInADayWithAnOverlap) {
  EXPECT_EQ(in_overlap(berlin("30 2 * * *")), (Texts{"10-25T02:30:00+02:00"}));
  EXPECT_EQ(in_overlap(berlin("30 2 * * *", {.overlap = DstRule::Overlap::last})),
            (Texts{"10-25T02:30:00+01:00"}));
  EXPECT_EQ(in_overlap(berlin("30 2 * * *", {.overlap = DstRule::Overlap::both})),
            (Texts{"10-25T02:30:00+02:00", "10-25T02:30:00+01:00"}));
  EXPECT_EQ(in_overlap(berlin("0 2,3 * * *")), (Texts{"10-25T02:00:00+02:00", "10-25T03:00:00+01:00"}));
}

TEST(Schedule, ARhythmRunsAtEveryRealInstant) {
  EXPECT_EQ(in_gap(berlin("*/30 * * * *")),
            (Texts{"03-29T01:00:00+01:00", "03-29T01:30:00+01:00", "03-29T03:00:00+02:00",
                   "03-29T03:30:00+02:00", "03-29T04:00:00+02:00", "03-29T04:30:00+02:00"}));
  EXPECT_EQ(in_overlap(berlin("0 * * * *")), (Texts{"10-25T01:00:00+02:00", "10-25T02:00:00+02:00",
                                                    "10-25T02:00:00+01:00", "10-25T03:00:00+01:00"}));
  // The rule is about fixed hours.
  EXPECT_EQ(in_overlap(berlin("0 */2 * * *", {.overlap = DstRule::Overlap::last})),
            (Texts{"10-25T02:00:00+02:00", "10-25T02:00:00+01:00"}));
  EXPECT_EQ(in_gap(berlin("0 */2 * * *")), (Texts{"03-29T04:00:00+02:00"}));
}

TEST(Schedule, ADayThatIsSkippedAsAWholeHasNoRuns) {
  const Schedule apia({.cron = "0 6 * * *", .timezone = "Pacific/Apia"});
  EXPECT_EQ(runs(apia, "2011-12-29T00:00", "2011-12-31T12:00"),
            (Texts{"12-29T06:00:00-10:00", "12-31T06:00:00+14:00"}));
}

TEST(Schedule, AGapAtMidnightIsPartOfItsDay) {
  const Schedule sao_paulo({.cron = "0 0 * * *", .timezone = "America/Sao_Paulo"});
  EXPECT_EQ(runs(sao_paulo, "2018-11-03T00:00", "2018-11-05T12:00"),
            (Texts{"11-03T00:00:00-03:00", "11-04T01:00:00-02:00", "11-05T00:00:00-02:00"}));
}

TEST(Schedule, EveryIsAnchoredAtItsStartOrAtTheEpoch) {
  const Schedule free({.every = 7h});
  EXPECT_EQ(runs(free, "1970-01-01T00:00", "1970-01-01T22:00"),
            (Texts{"01-01T00:00:00+00:00", "01-01T07:00:00+00:00", "01-01T14:00:00+00:00",
                   "01-01T21:00:00+00:00"}));
  EXPECT_EQ(runs(free, "1969-12-31T00:00", "1970-01-01T00:00"),
            (Texts{"12-31T03:00:00+00:00", "12-31T10:00:00+00:00", "12-31T17:00:00+00:00"}));
  const Schedule anchored({.every = 24h, .timezone = "Europe/Berlin", .start = at("2026-03-28T05:00")});
  // Real time: the clock on the wall moves, the rhythm does not.
  EXPECT_EQ(runs(anchored, "2026-01-01T00:00", "2026-03-30T06:00"),
            (Texts{"03-28T06:00:00+01:00", "03-29T07:00:00+02:00", "03-30T07:00:00+02:00"}));
  EXPECT_EQ(anchored.interval(at("2026-03-28T05:00")).from, at("2026-03-27T05:00"));
}

TEST(Schedule, StartCountsAndEndDoesNot) {
  const Schedule bound({.cron = "@daily", .start = at("2026-01-02"), .end = at("2026-01-04")});
  EXPECT_EQ(runs(bound, "2025-12-01", "2026-02-01"), (Texts{"01-02T00:00:00+00:00", "01-03T00:00:00+00:00"}));
  EXPECT_EQ(bound.interval(at("2026-01-02")).from, at("2026-01-01"));
  EXPECT_FALSE(bound.next_after(at("2026-01-03")));
}

TEST(Schedule, TheDataIntervalReachesBackToTheInstantBefore) {
  const DataInterval spring = berlin("0 6 * * *").interval(at("2026-03-29T04:00"));
  EXPECT_EQ(utc_text(spring.from), "2026-03-28T05:00:00Z");
  EXPECT_EQ(spring.to - spring.from, 23h);
  const DataInterval leap = Schedule({.cron = "0 0 29 2 *"}).interval(at("2028-02-29"));
  EXPECT_EQ(utc_text(leap.from), "2024-02-29T00:00:00Z");
  // Of an instant that is none of its own.
  EXPECT_EQ(berlin("* * * * *").interval(at("2026-01-01T00:00:30")).from, at("2026-01-01"));
}

TEST(Schedule, LastAndNoneJudgeTheNewestOfTheMissedOnes) {
  const Schedule minutely({.cron = "* * * * *"});
  const WallTime last = at("2016-01-01T00:00");
  const WallTime now = at("2026-01-01T00:00:45");
  const Due newest = minutely.due(last, now, {.missed = Missed::last});
  EXPECT_EQ(newest.instants, std::vector{at("2026-01-01T00:00")});
  EXPECT_EQ(newest.mark, at("2026-01-01T00:00"));
  EXPECT_EQ(minutely.due(last, now, {.missed = Missed::none, .grace = 45s}).instants, newest.instants);
  const Due none = minutely.due(last, now, {.missed = Missed::none, .grace = 44s});
  EXPECT_TRUE(none.instants.empty());
  EXPECT_EQ(none.mark, newest.mark);
}

TEST(Schedule, AllOfThemComeInPortions) {
  const Schedule minutely({.cron = "* * * * *"});
  Due due = minutely.due(at("2016-01-01T00:00"), at("2026-01-01T00:00"), {.missed = Missed::all, .most = 3});
  EXPECT_EQ(due.instants,
            (std::vector{at("2016-01-01T00:01"), at("2016-01-01T00:02"), at("2016-01-01T00:03")}));
  EXPECT_TRUE(due.more);
  EXPECT_EQ(due.mark, due.instants.back());
  due = minutely.due(due.mark, at("2016-01-01T00:06:59"), {.missed = Missed::all, .most = 3});
  EXPECT_EQ(due.instants.size(), 3U);
  EXPECT_FALSE(due.more);
  EXPECT_EQ(due.mark, at("2016-01-01T00:06"));
}

TEST(Schedule, AClockThatGoesBackGivesNoInstantTwice) {
  const Schedule schedule({.cron = "*/5 * * * *"});
  for (const Missed missed : {Missed::all, Missed::last, Missed::none}) {
    const DueRule rule{.missed = missed};
    WallTime mark = at("2026-01-01T00:00");
    std::vector<WallTime> fired;
    for (const auto* const now :
         {"2026-01-01T00:04:59", "2026-01-01T00:05:00", "2026-01-01T00:03", "2025-01-01",
          "2026-01-01T00:05:01", "2026-01-01T00:10:30", "2026-01-01T00:09"}) {
      const Due due = schedule.due(mark, at(now), rule);
      EXPECT_GE(due.mark, mark);
      mark = due.mark;
      fired.insert(fired.end(), due.instants.begin(), due.instants.end());
    }
    EXPECT_EQ(fired, (std::vector{at("2026-01-01T00:05"), at("2026-01-01T00:10")}));
  }
}

TEST(Schedule, DueKeepsWithinStartAndEnd) {
  const Schedule bound({.cron = "@daily", .start = at("2026-01-02"), .end = at("2026-01-04")});
  EXPECT_TRUE(bound.due(at("2025-12-01"), at("2026-01-01T23:00"), {}).instants.empty());
  EXPECT_EQ(bound.due(at("2025-12-01"), at("2026-02-01"), {}).instants, std::vector{at("2026-01-03")});
  EXPECT_EQ(bound.due(at("2025-12-01"), at("2026-02-01"), {.missed = Missed::all}).instants.size(), 2U);
}

TEST(Schedule, WithoutATimeItHasNoInstants) {
  const Schedule manual{ScheduleDefinition{}};
  EXPECT_FALSE(manual.timed());
  EXPECT_FALSE(manual.next_after(at("2026-01-01")));
  EXPECT_TRUE(manual.due(at("2026-01-01"), at("2027-01-01"), {.missed = Missed::all}).instants.empty());
  EXPECT_EQ(manual.interval(at("2026-01-01")).from, at("2026-01-01"));
}

TEST(Schedule, TheEndsOfTimeAreHarmless) {
  const Schedule cron = berlin("0 6 * * *");
  const Schedule every({.every = 1h});
  for (const Schedule* const schedule : {&cron, &every}) {
    EXPECT_TRUE(schedule->next_after(WallTime::min()));
    EXPECT_FALSE(schedule->next_after(WallTime::max()));
    EXPECT_LT(schedule->interval(WallTime::max()).from, WallTime::max());
    EXPECT_EQ(schedule->interval(WallTime::min()).from, WallTime::min());
    EXPECT_EQ(schedule->due(WallTime::min(), WallTime::max() - 1s, {.missed = Missed::all, .most = 5})
                  .instants.size(),
              5U);
  }
}

TEST(Schedule, RefusesWhatItCannotMean) {
  EXPECT_TRUE(has(error_of([] { Schedule({.cron = "@daily", .every = 1h}); }).what(), "both cron and every"));
  EXPECT_TRUE(has(error_of([] { Schedule({.every = 999ms}); }).what(), "999 ms is too often"));
  EXPECT_TRUE(has(error_of([] { Schedule({.every = -1h}); }).what(), "too often"));
  EXPECT_EQ(error_of([] { Schedule({.cron = "@daily", .timezone = "Mars/Olympus"}); }).exit_code(),
            ExitCode::definition);
}

TEST(Zone, SuggestsTheNameThatWasMeant) {
  const auto remedy = [](const char* name) { return error_of([&] { Zone::load(name); }).remedy(); };
  EXPECT_EQ(remedy("Europe/Berlni"), "Did you mean Europe/Berlin?");
  EXPECT_EQ(remedy("europe/berlin"), "Did you mean Europe/Berlin?");
  EXPECT_EQ(remedy("Kolkata"), "Did you mean Asia/Kolkata?");
  EXPECT_EQ(remedy("America/New York"), "Did you mean America/New_York?");
  EXPECT_TRUE(has(remedy("qwertyuiop"), "IANA"));
}

TEST(Zone, OpensNoOtherFiles) {
  for (const char* const name :
       {"", "/etc/localtime", "../../../etc/passwd", "file:UTC", "libc:UTC", "localtime",
        "Fixed/UTC+01:00:00", "right/UTC", "posix/UTC", "posixrules", "Europe", "Europe/", "zone.tab"})
    EXPECT_EQ(error_of([&] { Zone::load(name); }).exit_code(), ExitCode::definition) << name;
}

TEST(Zone, TellsWhatALocalTimeMeans) {
  const Zone zone = Zone::load("Europe/Berlin");
  const auto local = [](std::string_view text) { return LocalTime(at(text).time_since_epoch() / 1s * 1s); };
  const Meaning gap = zone.resolve(local("2026-03-29T02:30"));
  EXPECT_EQ(gap.kind, Meaning::Kind::skipped);
  EXPECT_EQ(gap.first, at("2026-03-29T01:00"));
  const Meaning twice = zone.resolve(local("2026-10-25T02:30"));
  EXPECT_EQ(twice.kind, Meaning::Kind::repeated);
  EXPECT_EQ(twice.first, at("2026-10-25T00:30"));
  EXPECT_EQ(twice.last, at("2026-10-25T01:30"));
  const Meaning once = zone.resolve(local("2026-06-01T12:00"));
  EXPECT_EQ(once.kind, Meaning::Kind::unique);
  EXPECT_EQ(once.first, once.last);
  EXPECT_EQ(once.first, at("2026-06-01T10:00"));
}

TEST(Preview, MarksWhatTheClocksDo) {
  const auto rows = preview(berlin("30 2 * * *"), at("2026-03-27T12:00"), 3);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].note, "");
  EXPECT_EQ(rows[1].local, "2026-03-29T03:00:00+02:00");
  EXPECT_EQ(rows[1].utc, "2026-03-29T01:00:00Z");
  EXPECT_EQ(rows[1].zone, "CEST");
  EXPECT_EQ(rows[1].note, "clocks went forward: +01:00 > +02:00; moved: the hour it was for is skipped");
  EXPECT_EQ(rows[2].note, "");
  const auto twice = preview(berlin("30 2 * * *", {.overlap = DstRule::Overlap::both}), at("2026-10-25"), 2);
  ASSERT_EQ(twice.size(), 2U);
  EXPECT_EQ(twice[0].note, "the first of two such times");
  EXPECT_EQ(twice[1].note, "clocks went back: +02:00 > +01:00; the second of two such times");
}

TEST(Preview, ReadsInstantsInSeveralForms) {
  const Zone berlin = Zone::load("Europe/Berlin");
  const auto read = [&](const char* text) {
    const auto found = parse_instant(text, berlin);
    return found ? utc_text(*found) : std::string("nothing");
  };
  EXPECT_EQ(read("2026-06-01"), "2026-05-31T22:00:00Z");
  EXPECT_EQ(read("2026-06-01T12:30"), "2026-06-01T10:30:00Z");
  EXPECT_EQ(read("2026-06-01 12:30:15Z"), "2026-06-01T12:30:15Z");
  EXPECT_EQ(read("2026-06-01T12:30:15-05:30"), "2026-06-01T18:00:15Z");
  EXPECT_EQ(read("2026-10-25T02:30"), "2026-10-25T00:30:00Z");
  for (const char* const wrong :
       {"", "2026", "2026-02-30", "2026-06-01T", "2026-06-01T25:00", "2026-06-01T12:30x",
        "2026-06-01T12:30+2", "2026-03-29T02:30", "2026-06-01T12:30+02:00Z", "0000-01-01"})
    EXPECT_EQ(read(wrong), "nothing") << wrong;
}

}  // namespace
}  // namespace weir::pipeline
