#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pipeline/time/cron.h"
#include "support/errors.h"

namespace weir::pipeline {
namespace {

using std::chrono::days;
using std::chrono::minutes;
using test::has;

LocalTime at(int year, int month, int day, int hour = 0, int minute = 0) {
  return std::chrono::local_days(std::chrono::year(year) / month / day) + std::chrono::hours(hour) +
         minutes(minute);
}

std::string text_of(LocalTime time) {
  const auto day = std::chrono::floor<days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{}-{:02}-{:02} {:02}:{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count());
}

/// The first `count` matches from 2026-01-01 on, a Thursday.
std::vector<std::string> first(std::string_view text, int count, LocalTime from = at(2026, 1, 1)) {
  const Cron cron = Cron::parse(text);
  std::vector<std::string> out;
  for (; count > 0; --count) {
    const auto found = cron.next(from, at(2200, 1, 1));
    if (!found) break;
    EXPECT_TRUE(cron.matches(*found));
    out.push_back(text_of(*found));
    from = *found + minutes(1);
  }
  return out;
}

using Texts = std::vector<std::string>;

TEST(Cron, FindsTheMinutesItNames) {
  EXPECT_EQ(first("30 6 * * *", 2), (Texts{"2026-01-01 06:30", "2026-01-02 06:30"}));
  EXPECT_EQ(first("*/20 23 31 12 *", 3), (Texts{"2026-12-31 23:00", "2026-12-31 23:20", "2026-12-31 23:40"}));
  EXPECT_EQ(first("5,3-4 0 1 jan,Mar *", 4),
            (Texts{"2026-01-01 00:03", "2026-01-01 00:04", "2026-01-01 00:05", "2026-03-01 00:03"}));
  EXPECT_EQ(first("0 9-17/4 * * mon-fri", 4),
            (Texts{"2026-01-01 09:00", "2026-01-01 13:00", "2026-01-01 17:00", "2026-01-02 09:00"}));
  EXPECT_EQ(first("59 23 * * *", 2, at(2026, 12, 31, 23, 59)),
            (Texts{"2026-12-31 23:59", "2027-01-01 23:59"}));
  EXPECT_EQ(first("0\t0  1 1 *  ", 1), (Texts{"2026-01-01 00:00"}));
  EXPECT_EQ(first("05 006 * * *", 1), (Texts{"2026-01-01 06:05"}));
}

TEST(Cron, SundayHasTwoNumbersAndStandsAtEitherEndOfTheWeek) {
  for (const auto* const sunday : {"0 0 * * 0", "0 0 * * 7", "0 0 * * SUN", "0 0 * * 7,0"})
    EXPECT_EQ(first(sunday, 2), (Texts{"2026-01-04 00:00", "2026-01-11 00:00"})) << sunday;
  EXPECT_EQ(first("0 0 * * 5-7", 4),
            (Texts{"2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00", "2026-01-09 00:00"}));
  EXPECT_EQ(first("0 0 * * fri-sun", 4), first("0 0 * * 5-7", 4));
  EXPECT_EQ(first("0 0 * * sun-mon", 3), (Texts{"2026-01-04 00:00", "2026-01-05 00:00", "2026-01-11 00:00"}));
}

TEST(Cron, EitherDayFieldIsEnoughWhereBothAreRestricted) {
  EXPECT_EQ(first("0 0 13 * fri", 4),
            (Texts{"2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00", "2026-01-16 00:00"}));
  // As in Vixie's cron, a field that begins with a star restricts nothing by itself: both must match.
  EXPECT_EQ(first("0 0 */2 * fri", 3), (Texts{"2026-01-09 00:00", "2026-01-23 00:00", "2026-02-13 00:00"}));
  EXPECT_EQ(first("0 0 13 * *", 2), (Texts{"2026-01-13 00:00", "2026-02-13 00:00"}));
  EXPECT_EQ(first("0 0 30 feb mon", 2), (Texts{"2026-02-02 00:00", "2026-02-09 00:00"}));
}

TEST(Cron, MacrosAreShortForFields) {
  EXPECT_EQ(first("@hourly", 2), (Texts{"2026-01-01 00:00", "2026-01-01 01:00"}));
  EXPECT_EQ(first("@daily", 2), first("@midnight", 2));
  EXPECT_EQ(first("@weekly", 2), (Texts{"2026-01-04 00:00", "2026-01-11 00:00"}));
  EXPECT_EQ(first(" @monthly", 2), (Texts{"2026-01-01 00:00", "2026-02-01 00:00"}));
  EXPECT_EQ(first("@yearly", 2), (Texts{"2026-01-01 00:00", "2027-01-01 00:00"}));
  EXPECT_EQ(first("@annually", 2), first("@yearly", 2));
  EXPECT_EQ(Cron::parse("@daily ").text(), "@daily");
}

TEST(Cron, FindsLeapDaysOverTheCenturies) {
  EXPECT_EQ(first("0 12 29 2 *", 2), (Texts{"2028-02-29 12:00", "2032-02-29 12:00"}));
  EXPECT_EQ(first("0 12 29 2 *", 2, at(2096, 3, 1)), (Texts{"2104-02-29 12:00", "2108-02-29 12:00"}));
  EXPECT_EQ(first("0 12 29 2 *", 2, at(1996, 3, 1)), (Texts{"2000-02-29 12:00", "2004-02-29 12:00"}));
  // On a weekend, too: 0 and 6.
  EXPECT_EQ(first("0 0 29 2 */6", 3), (Texts{"2032-02-29 00:00", "2048-02-29 00:00", "2060-02-29 00:00"}));
  EXPECT_EQ(first("0 0 31 * *", 3), (Texts{"2026-01-31 00:00", "2026-03-31 00:00", "2026-05-31 00:00"}));
}

TEST(Cron, EndsWhereItIsTold) {
  const Cron cron = Cron::parse("0 6 * * *");
  EXPECT_FALSE(cron.next(at(2026, 1, 1, 6, 1), at(2026, 1, 2, 6, 0)));
  EXPECT_TRUE(cron.next(at(2026, 1, 1, 6, 1), at(2026, 1, 2, 6, 1)));
  EXPECT_FALSE(cron.next(at(2026, 1, 1), at(2026, 1, 1)));
  EXPECT_FALSE(cron.matches(at(2026, 1, 1, 6) + std::chrono::seconds(1)));
  EXPECT_EQ(text_of(*cron.next(at(2026, 1, 1, 5, 59) + std::chrono::seconds(59), at(2027, 1, 1))),
            "2026-01-01 06:00");
}

TEST(Cron, KnowsARhythmFromATimeOfDay) {
  for (const auto* const rhythm : {"0 * * * *", "0 */2 * * *", "0 9-17/2 * * *", "0 3,*/6 * * *", "@hourly"})
    EXPECT_FALSE(Cron::parse(rhythm).fixed_hours()) << rhythm;
  for (const auto* const fixed : {"* 2 * * *", "*/5 1-3 * * *", "0 1,3 * * *", "@daily"})
    EXPECT_TRUE(Cron::parse(fixed).fixed_hours()) << fixed;
}

struct Refused {
  const char* text;
  const char* field;
  int column;
  const char* message;  ///< a part
  const char* remedy;   ///< a part
};

void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.text; }

class CronRefuses : public testing::TestWithParam<Refused> {};

TEST_P(CronRefuses, NamesFieldColumnAndRemedy) {
  const Refused& wanted = GetParam();
  try {
    Cron::parse(wanted.text);
    FAIL() << "it was taken";
  } catch (const CronError& error) {
    EXPECT_EQ(error.field(), wanted.field);
    EXPECT_EQ(error.column(), wanted.column) << error.what();
    EXPECT_EQ(error.exit_code(), ExitCode::definition);
    EXPECT_TRUE(has(error.what(), wanted.message)) << error.what();
    EXPECT_TRUE(has(error.remedy(), wanted.remedy)) << error.remedy();
    EXPECT_TRUE(test::has_message_style(error.what())) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, CronRefuses,
    testing::Values(
        Refused{"", "", 1, "empty", "minute hour"}, Refused{"* * *", "month", 6, "3 of five", "minute hour"},
        Refused{"0 * * * * *", "", 11, "6 fields", "every: 30s"},
        Refused{"* * * * * * *", "", 11, "7 fields", "minute hour"},
        Refused{"60 * * * *", "minute", 1, "60 is not within 0-59", ""},
        Refused{"0 24 * * *", "hour", 3, "24 is not within 0-23", ""},
        Refused{"0 0 0 * *", "day of month", 5, "0 is not within 1-31", ""},
        Refused{"0 0 * 13 *", "month", 7, "13 is not within 1-12", ""},
        Refused{"0 0 * * 8", "day of week", 9, "8 is not within 0-7", ""},
        Refused{"0 0 * * 99999999999999999999", "day of week", 9, "not within", ""},
        Refused{"0 22-2 * * *", "hour", 3, "backwards", "22-23,0-2"},
        Refused{"0 0 * * fri-mon", "day of week", 9, "backwards", "5-6,0-1"},
        Refused{"5/15 * * * *", "minute", 2, "a range", "Write 5-59/15"},
        Refused{"*/90 * * * *", "minute", 3, "90", "every: 90m"},
        Refused{"*/0 * * * *", "minute", 3, "0 goes nowhere", "1"},
        Refused{"*/ * * * *", "minute", 3, "number", ""}, Refused{"1,,2 * * * *", "minute", 3, "missing", ""},
        Refused{"1, * * * *", "minute", 3, "missing", ""}, Refused{"1- * * * *", "minute", 3, "missing", ""},
        Refused{"-5 * * * *", "minute", 1, "missing", ""},
        Refused{"1-2-3 * * * *", "minute", 4, "'-3' is not understood", ""},
        Refused{"0 6am * * *", "hour", 4, "'am' is not understood", ""},
        Refused{"0 0 L * *", "day of month", 5, "'L' is not a number", ""},
        Refused{"0 0 ? * *", "day of month", 5, "'?' is not understood", "dialects"},
        Refused{"0 0 * * monday", "day of week", 9, "'monday' is no day of week", "Did you mean mon?"},
        Refused{"0 0 * fbe *", "month", 7, "'fbe'", "Did you mean feb?"},
        Refused{"0 mon * * *", "hour", 3, "'mon' is not a number", ""},
        Refused{"0 0 30 2 *", "day of month", 5, "day 30", "never"},
        Refused{"0 0 31 4,6,9,11 *", "day of month", 5, "day 31", "never"},
        Refused{"0 0 30-31 feb */2", "day of month", 5, "day 30", "never"},
        Refused{"@dayly", "", 1, "'@dayly'", "Did you mean @daily?"},
        Refused{"@reboot", "", 1, "'@reboot'", ""}, Refused{"@every 5m", "", 1, "'@every'", "every: 5m"},
        Refused{"@daily 5", "", 8, "may follow", ""},
        Refused{"CRON_TZ=UTC 0 0 * * *", "", 1, "time zone", "timezone"},
        Refused{"0 0 * * \xff\x1b[31m", "day of week", 9, "\\xff", ""}));

}  // namespace
}  // namespace weir::pipeline
