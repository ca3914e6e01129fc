#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::load {

/// A date, a time of day, or both, as it is written.
struct DateTime {
  enum class Kind : std::uint8_t { finite, infinity, minus_infinity };
  Kind kind = Kind::finite;
  bool has_date = false;
  bool has_time = false;
  bool has_zone = false;
  std::int64_t day = 0;           ///< since 2000-01-01
  std::int64_t microseconds = 0;  ///< of the day; a leap second and 24:00 reach into the next one
  std::int32_t zone = 0;          ///< seconds east of Greenwich
  bool is_rounded = false;        ///< it was written with more than microseconds
};

enum class TimeFault : std::uint8_t {
  none,
  form,   ///< not written as Weir reads it
  range,  ///< "2023-02-29", "25:00"
};

/// ISO 8601 as PostgreSQL reads it and as programs write it; what depends on settings of the server
/// (31.01.2024, "Jan 31", CET, now) is a fault of form. The README has the list. Blanks around it have to be
/// gone.
TimeFault parse_date_time(std::string_view text, DateTime& value) noexcept;

/// PostgreSQL's values in binary; nothing out of its range.
std::optional<std::int32_t> to_date(const DateTime& value) noexcept;
std::optional<std::int64_t> to_time(const DateTime& value) noexcept;
/// The zone is not looked at, as PostgreSQL does not.
std::optional<std::int64_t> to_timestamp(const DateTime& value) noexcept;
std::optional<std::int64_t> to_timestamptz(const DateTime& value, std::int32_t zone_offset) noexcept;

}  // namespace weir::load
