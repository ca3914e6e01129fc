#pragma once

#include <array>
#include <bitset>
#include <string_view>

namespace weir::pipeline {

struct CronField {
  std::string_view name;
  int least;
  int most;
};

// In the order of the expression. 7 is Sunday as well.
inline constexpr std::array<CronField, 5> kCronFields{
    {{"minute", 0, 59}, {"hour", 0, 23}, {"day of month", 1, 31}, {"month", 1, 12}, {"day of week", 0, 7}}};

/// One field, read.
struct CronValues {
  std::bitset<60> set;
  bool begins_with_star = false;
  bool rhythm = false;  ///< a `*` or a step is in it
};

/// Reads field number `index` of `text`, which begins at `at`. Throws CronError.
CronValues read_cron_field(std::string_view text, std::size_t index, std::size_t at, std::string_view field);

}  // namespace weir::pipeline
