#include "stream/sql_time.h"

#include <chrono>

#include <fmt/format.h>

namespace weir::stream {

std::string sql_time(WallTime time) {
  if (time == WallTime::max()) return "infinity";
  if (time == WallTime::min()) return "-infinity";
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  const int year = static_cast<int>(date.year());
  // There is no year 0: the one before 1 is 1 BC.
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00{}", year > 0 ? year : 1 - year,
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count(), year > 0 ? "" : " BC");
}

}  // namespace weir::stream
