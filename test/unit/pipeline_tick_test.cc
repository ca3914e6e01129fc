#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include <stdlib.h>
#include <time.h>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "pipeline/time/preview.h"
#include "pipeline/time/tick.h"

namespace weir::pipeline {
namespace {

using std::chrono::seconds;

// Minute by minute, and nothing in common with the code under test: the zones are those of the C library,
// cron is looked at as text, and no minute is jumped over.

constexpr std::int64_t kMinute = 60;
constexpr std::int64_t kDay = 86400;

/// While it lives, localtime_r means the zone.
class LibraryZone {
 public:
  explicit LibraryZone(const char* name) {
    if (const char* const before = ::getenv("TZ")) before_ = before;
    ::setenv("TZ", name, 1);
    ::tzset();
  }
  ~LibraryZone() {
    before_ ? ::setenv("TZ", before_->c_str(), 1) : ::unsetenv("TZ");
    ::tzset();
  }
  LibraryZone(const LibraryZone&) = delete;
  LibraryZone& operator=(const LibraryZone&) = delete;

 private:
  std::optional<std::string> before_;
};

struct Wall {
  int minute, hour, day, month, weekday;
  std::int64_t minutes;  ///< since 1970, as the wall shows it
};

Wall wall_of(const std::tm& tm) {
  std::tm copy = tm;
  return {tm.tm_min, tm.tm_hour, tm.tm_mday, tm.tm_mon + 1, tm.tm_wday, ::timegm(&copy) / kMinute};
}

/// One list of a field, by trying every value.
bool naive_field(const std::string& field, int value, int most, bool weekday) {
  std::stringstream items(field);
  for (std::string item; std::getline(items, item, ',');) {
    int step = 1;
    if (const auto slash = item.find('/'); slash != std::string::npos) {
      step = std::stoi(item.substr(slash + 1));
      item = item.substr(0, slash);
    }
    int low = most == 31 || most == 12 ? 1 : 0;
    int high = most;
    if (item != "*") {
      const auto dash = item.find('-');
      low = std::stoi(item);
      high = dash == std::string::npos ? low : std::stoi(item.substr(dash + 1));
    }
    for (int at = low; at <= high; at += step)
      if (at == value || (weekday && at == 7 && value == 0)) return true;
  }
  return false;
}

struct NaiveCron {
  std::vector<std::string> fields;
  std::array<std::array<bool, 60>, 5> table{};

  explicit NaiveCron(const std::string& text) {
    std::stringstream words(text);
    for (std::string word; words >> word;) fields.push_back(word);
    constexpr std::array<int, 5> kMost{59, 23, 31, 12, 6};
    for (std::size_t f = 0; f < 5; ++f)
      for (int v = 0; v < 60; ++v)
        table.at(f).at(static_cast<std::size_t>(v)) = naive_field(fields[f], v, kMost.at(f), f == 4);
  }
  [[nodiscard]] bool in(std::size_t f, int v) const { return table.at(f).at(static_cast<std::size_t>(v)); }
  [[nodiscard]] bool matches(const Wall& wall) const {
    if (!in(0, wall.minute) || !in(1, wall.hour) || !in(3, wall.month)) return false;
    const bool date = in(2, wall.day);
    const bool week = in(4, wall.weekday);
    if (fields[2][0] == '*' || fields[4][0] == '*') return date && week;
    return date || week;
  }
  [[nodiscard]] bool rhythm() const { return fields[1].find_first_of("*/") != std::string::npos; }
};

/// All minutes of a stretch of time.
struct Stretch {
  std::int64_t begin = 0;
  std::vector<Wall> real;                                ///< by real minutes
  std::map<std::int64_t, std::vector<std::int64_t>> of;  ///< a minute of the wall > when it is real
  std::vector<Wall> wall;       ///< by minutes of the wall, also those that are skipped
  std::set<std::int64_t> days;  ///< of the wall that are there

  Stretch(std::int64_t from, std::int64_t to) : begin(from) {
    for (std::int64_t at = from; at < to; at += kMinute) {
      std::tm tm{};
      const time_t time = at;
      ::localtime_r(&time, &tm);
      real.push_back(wall_of(tm));
      of[real.back().minutes].push_back(at);
      days.insert(real.back().minutes / 1440);
    }
    for (std::int64_t minute = of.begin()->first; minute <= of.rbegin()->first; ++minute) {
      std::tm tm{};
      const time_t time = minute * kMinute;
      ::gmtime_r(&time, &tm);
      wall.push_back(wall_of(tm));
    }
  }
};

std::set<std::int64_t> brute_force(const Stretch& stretch, const NaiveCron& cron, DstRule rule) {
  std::set<std::int64_t> out;
  if (cron.rhythm()) {
    for (std::size_t i = 0; i < stretch.real.size(); ++i)
      if (cron.matches(stretch.real[i])) out.insert(stretch.begin + static_cast<std::int64_t>(i) * kMinute);
    return out;
  }
  for (const Wall& wall : stretch.wall) {
    if (!cron.matches(wall)) continue;
    const std::int64_t minute = wall.minutes;
    if (const auto found = stretch.of.find(minute); found != stretch.of.end()) {
      const auto& instants = found->second;
      if (rule.overlap == DstRule::Overlap::both)
        out.insert(instants.begin(), instants.end());
      else
        out.insert(rule.overlap == DstRule::Overlap::first ? instants.front() : instants.back());
    } else if (rule.gap == DstRule::Gap::shift && stretch.days.contains(minute / 1440)) {
      // The first real minute whose wall is past it while the one before was not there yet.
      for (std::size_t i = 1; i < stretch.real.size(); ++i) {
        if (stretch.real[i].minutes > minute && stretch.real[i - 1].minutes < minute) {
          out.insert(stretch.begin + static_cast<std::int64_t>(i) * kMinute);
          break;
        }
      }
    }
  }
  return out;
}

std::int64_t at_utc(int year, int month, int day) {
  return std::chrono::sys_seconds(std::chrono::sys_days(std::chrono::year(year) / month / day))
      .time_since_epoch()
      .count();
}

/// Where something may go wrong: around every change of the offset, and around ends of months and years.
std::vector<std::int64_t> interesting(int from, int to) {
  std::vector<std::int64_t> out;
  std::tm tm{};
  time_t at = at_utc(from, 1, 1);
  ::localtime_r(&at, &tm);
  long offset = tm.tm_gmtoff;
  for (; at < at_utc(to, 1, 1); at += 1800) {
    ::localtime_r(&at, &tm);
    if (tm.tm_gmtoff != offset) out.push_back(at / kDay * kDay);
    offset = tm.tm_gmtoff;
  }
  for (int year = from; year < to; year += 2) {
    out.push_back(at_utc(year, 1, 1));
    out.push_back(at_utc(year, 3, 1));
  }
  return out;
}

struct Place {
  const char* zone;
  int from;
  int to;
};

void PrintTo(const Place& place, std::ostream* out) { *out << place.zone; }

class Ticks : public testing::TestWithParam<Place> {};

/// A list of numbers, ranges and steps of one field, as text.
rc::Gen<std::string> some_field(int least, int most, bool often_any) {
  return rc::gen::exec([=] {
    if (*rc::gen::inRange(0, 10) < (often_any ? 6 : 2)) return std::string("*");
    std::string out;
    const int items = *rc::gen::inRange(1, 4);
    for (int i = 0; i < items; ++i) {
      if (i > 0) out += ",";
      const int low = *rc::gen::inRange(least, most + 1);
      const int high = *rc::gen::inRange(low, most + 1);
      switch (*rc::gen::inRange(0, 4)) {
        case 0: out += std::to_string(low) + "-" + std::to_string(high); break;
        case 1:
          if (high > low) {
            out += std::to_string(low) + "-" + std::to_string(high) + "/" +
                   std::to_string(*rc::gen::inRange(1, high - low + 1));
            break;
          }
          [[fallthrough]];
        case 2:
          if (i == 0) {
            out += "*/" + std::to_string(*rc::gen::inRange(1, (most - least) / 2));
            break;
          }
          [[fallthrough]];
        default: out += std::to_string(low);
      }
    }
    return out;
  });
}

rc::Gen<std::string> some_cron() {
  return rc::gen::exec([] {
    // Mostly the hours at which clocks are changed.
    const std::string hour = *rc::gen::oneOf(some_field(0, 23, true), some_field(0, 4, false));
    return *some_field(0, 59, false) + " " + hour + " " + *some_field(1, 31, true) + " " + "* " +
           *some_field(0, 7, true);
  });
}

TEST_P(Ticks, AreThoseOfBruteForceAroundEveryChange) {
  const Place& place = GetParam();
  std::vector<Stretch> stretches;
  {
    const LibraryZone library(place.zone);
    for (const std::int64_t day : interesting(place.from, place.to))
      stretches.emplace_back(day - 3 * kDay, day + 3 * kDay);
  }
  const Zone zone = Zone::load(place.zone);
  const bool holds = rc::check([&] {
    const std::string text = *some_cron();
    const DstRule rule{.gap = *rc::gen::element(DstRule::Gap::shift, DstRule::Gap::skip),
                       .overlap = *rc::gen::element(DstRule::Overlap::first, DstRule::Overlap::last,
                                                    DstRule::Overlap::both)};
    const NaiveCron naive(text);
    const Cron cron = Cron::parse(text);
    RC_ASSERT(cron.fixed_hours() == !naive.rhythm());
    const std::size_t one = *rc::gen::inRange<std::size_t>(0, stretches.size());
    for (std::size_t i = one; i < std::min(one + 3, stretches.size()); ++i) {
      const Stretch& stretch = stretches[i];
      // A day in from its ends: a repeated hour must not be cut in two.
      const std::int64_t begin = stretch.begin + kDay;
      const std::int64_t end = begin + 4 * kDay;
      std::vector<std::int64_t> wanted;
      for (const std::int64_t at : brute_force(stretch, naive, rule))
        if (at >= begin && at < end) wanted.push_back(at);
      std::vector<std::int64_t> found;
      for (auto at = next_tick(cron, zone, rule, Instant(seconds(begin - 1)));
           at && at->time_since_epoch().count() < end; at = next_tick(cron, zone, rule, *at))
        found.push_back(at->time_since_epoch().count());
      RC_LOG() << place.zone << ": " << text << " around " << utc_text(Instant(seconds(begin + 2 * kDay)));
      RC_ASSERT(found == wanted);
      // Backwards from wherever.
      const std::int64_t from = *rc::gen::inRange(begin, end);
      const auto later = std::lower_bound(wanted.begin(), wanted.end(), from);
      if (later != wanted.begin()) {
        const auto before = previous_tick(cron, zone, rule, Instant(seconds(from)));
        RC_ASSERT(before.has_value());
        RC_ASSERT(before->time_since_epoch().count() == *std::prev(later));
      }
    }
  });
  EXPECT_TRUE(holds);
}

INSTANTIATE_TEST_SUITE_P(
    Zones, Ticks,
    testing::Values(Place{"Europe/Berlin", 2018, 2030}, Place{"America/New_York", 2005, 2012},
                    Place{"Australia/Lord_Howe", 2018, 2030}, Place{"Asia/Kolkata", 2018, 2030},
                    Place{"Africa/Casablanca", 2016, 2030}, Place{"UTC", 2018, 2030},
                    // clocks that change at midnight; two hours at once; a day that never was
                    Place{"America/Sao_Paulo", 2010, 2021}, Place{"America/St_Johns", 2005, 2013},
                    Place{"Antarctica/Troll", 2015, 2026}, Place{"Pacific/Apia", 2009, 2013}));

/// Days by date, month and week, over half a century; and where parse() says that there are none.
TEST(TickDays, AreThoseOfBruteForceFrom1990To2040) {
  const bool holds = rc::check([] {
    // Often an end of a month.
    const std::string day = *rc::gen::oneOf(some_field(1, 31, true), some_field(28, 31, false),
                                            rc::gen::element<std::string>("29", "30", "31", "*/29"));
    const std::string month =
        *rc::gen::oneOf(some_field(1, 12, true), rc::gen::element<std::string>("2", "4,6"));
    const std::string text = "15 3 " + day + " " + month + " " + *some_field(0, 7, true);
    const NaiveCron naive(text);
    std::vector<std::int64_t> wanted;
    for (std::int64_t at = at_utc(1990, 1, 1) + 195 * kMinute; at < at_utc(2040, 1, 1); at += kDay) {
      std::tm tm{};
      const time_t time = at;
      ::gmtime_r(&time, &tm);
      if (naive.matches(wall_of(tm))) wanted.push_back(at);
    }
    RC_LOG() << text;
    RC_CLASSIFY(wanted.empty());
    try {
      const Cron cron = Cron::parse(text);
      const Zone utc = Zone::load("UTC");
      std::vector<std::int64_t> found;
      for (auto at = next_tick(cron, utc, {}, Instant(seconds(at_utc(1990, 1, 1))));
           at && at->time_since_epoch().count() < at_utc(2040, 1, 1); at = next_tick(cron, utc, {}, *at))
        found.push_back(at->time_since_epoch().count());
      RC_ASSERT(found == wanted);
      RC_ASSERT(!found.empty());
    } catch (const CronError&) {
      RC_ASSERT(wanted.empty());
    }
  });
  EXPECT_TRUE(holds);
}

}  // namespace
}  // namespace weir::pipeline
