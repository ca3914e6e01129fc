#include "load/value/date_time.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/ascii.h"
#include "load/value/text_check.h"

namespace weir::load {
namespace {

constexpr std::size_t kLongest = 128;  // PostgreSQL's MAXDATELEN
constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kDay = 86400 * kSecond;
// PostgreSQL counts days from 4714-11-24 BC, as Julian dates do.
constexpr std::int64_t kJulianEpoch = 2'451'545;
constexpr std::int64_t kDateEnd = 2'147'483'494 - kJulianEpoch;
constexpr std::int64_t kTimestampMin = -kJulianEpoch * kDay;
constexpr std::int64_t kTimestampEnd = 9'223'371'331'200'000'000;

bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_leap(std::int64_t year) noexcept { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

unsigned days_in_month(std::int64_t year, unsigned month) noexcept {
  constexpr std::array<unsigned, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays.at(month - 1) + (month == 2 && is_leap(year) ? 1U : 0U);
}

/// Days since 2000-01-01. Year 0 is 1 BC.
std::int64_t day_of(std::int64_t year, unsigned month, unsigned day) noexcept {
  // The year begins in March, so that the leap day is its last (Hinnant, "days_from_civil").
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year =
      (153 * (static_cast<std::int64_t>(month) + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  constexpr std::int64_t kFrom0000March = 730'425;
  return era * 146'097 + day_of_era - kFrom0000March;
}

class Parser {
 public:
  Parser(std::string_view text, DateTime& value) : at_(text.data()), end_(at_ + text.size()), value_(value) {}

  TimeFault run() noexcept {
    const std::size_t digits = count_digits();
    const bool is_time = digits <= 2 && peek(digits) == ':';
    if (is_time ? !clock() : !date(digits)) return TimeFault::form;
    if (!is_time && !at_end()) {
      const bool has_t = peek() == 'T' || peek() == 't';
      if (has_t) {
        ++at_;
      } else if (!spaces()) {
        return TimeFault::form;
      }
      if (has_t || is_digit(peek())) {
        if (!clock()) return TimeFault::form;
      } else if (!era()) {
        return TimeFault::form;
      }
    }
    if (value_.has_time && !(zone() && (at_end() || (spaces() && value_.has_date && era())))) {
      return TimeFault::form;
    }
    return at_end() ? finish() : TimeFault::form;
  }

 private:
  [[nodiscard]] bool at_end() const noexcept { return at_ == end_; }
  [[nodiscard]] char peek(std::size_t ahead = 0) const noexcept {
    return static_cast<std::size_t>(end_ - at_) > ahead ? at_[ahead] : '\0';
  }
  [[nodiscard]] std::size_t count_digits() const noexcept {
    std::size_t count = 0;
    while (is_digit(peek(count))) ++count;
    return count;
  }
  bool spaces() noexcept {
    const char* const before = at_;
    while (!at_end() && is_space(*at_)) ++at_;
    return at_ != before;
  }
  unsigned take(std::size_t digits) noexcept {
    unsigned number = 0;
    for (; digits > 0; --digits) number = number * 10 + static_cast<unsigned>(*at_++ - '0');
    return number;
  }
  /// One or two digits, no more.
  bool number(unsigned& into) noexcept {
    const std::size_t digits = count_digits();
    if (digits == 0 || digits > 2) return false;
    into = take(digits);
    return true;
  }
  bool skip(char c) noexcept {
    if (peek() != c || at_end()) return false;
    ++at_;
    return true;
  }

  /// 2024-01-31, 2024/1/31, 20240131. A year has three digits at least: 01-02-03 means what a setting says.
  bool date(std::size_t digits) noexcept {
    value_.has_date = true;
    const char separator = peek(digits);
    if (separator == '-' || separator == '/') {
      if (digits < 3 || digits > 7) return false;
      year_ = take(digits);
      return skip(separator) && number(month_) && skip(separator) && number(day_);
    }
    if (digits != 8) return false;
    year_ = take(4);
    month_ = take(2);
    day_ = take(2);
    return true;
  }

  /// 23:59, 23:59:59, 23:59:59.123456; behind a date also 2359, 235959 and 235959.123456.
  bool clock() noexcept {
    value_.has_time = true;
    const std::size_t digits = count_digits();
    bool has_seconds = false;
    if (peek(digits) == ':') {
      if (!number(hour_) || !skip(':') || !number(minute_)) return false;
      has_seconds = skip(':');
      if (has_seconds && !number(second_)) return false;
    } else {
      if (!value_.has_date || (digits != 4 && digits != 6)) return false;
      hour_ = take(2);
      minute_ = take(2);
      has_seconds = digits == 6;
      if (has_seconds) second_ = take(2);
    }
    return !has_seconds || peek() != '.' || fraction();
  }

  /// Rounded as PostgreSQL rounds: what the nearest double is, times a million, half to even.
  bool fraction() noexcept {
    const char* const begin = at_++;
    const std::size_t digits = count_digits();
    if (digits == 0) return false;
    if (digits <= 6) {
      fraction_ = take(digits);
      for (std::size_t at = digits; at < 6; ++at) fraction_ *= 10;
      return true;
    }
    at_ += digits;
    constexpr std::size_t kKept = std::string_view(".123456").size();
    value_.is_rounded = std::any_of(begin + kKept, at_, [](char c) { return c != '0'; });
    double part = 0;
    std::from_chars(begin, at_, part);
    fraction_ = std::llrint(part * 1e6);
    return true;
  }

  /// Z, UTC, +02, +2, +02:00, +0200, +02:00:30, or none.
  bool zone() noexcept {
    const char* const before = at_;
    spaces();
    const std::string_view rest(at_, static_cast<std::size_t>(end_ - at_));
    const bool is_z = peek() == 'Z' || peek() == 'z';
    if (is_z || is_word(rest.substr(0, 3), "utc")) {
      at_ += is_z ? 1 : 3;
      value_.has_zone = true;
      return true;
    }
    if (peek() != '+' && peek() != '-') {
      at_ = before;
      return true;
    }
    const bool west = *at_++ == '-';
    const std::size_t digits = count_digits();
    if (digits == 0 || digits > 4) return false;
    unsigned hours = take(digits);
    unsigned minutes = 0;
    unsigned seconds = 0;
    if (digits > 2) {
      minutes = hours % 100;
      hours /= 100;
    } else if (skip(':') && (!number(minutes) || (skip(':') && !number(seconds)))) {
      return false;
    }
    is_in_range_ = is_in_range_ && hours <= 15 && minutes < 60 && seconds < 60;
    const auto offset = static_cast<std::int32_t>(hours * 3600 + minutes * 60 + seconds);
    value_.zone = west ? -offset : offset;
    value_.has_zone = true;
    return true;
  }

  bool era() noexcept {
    const std::string_view word(at_, std::min<std::size_t>(2, static_cast<std::size_t>(end_ - at_)));
    is_bc_ = is_word(word, "bc");
    if (!is_bc_ && !is_word(word, "ad")) return false;
    at_ += 2;
    return true;
  }

  TimeFault finish() noexcept {
    if (value_.has_date) {
      const std::int64_t year = is_bc_ ? 1 - year_ : year_;
      if (year_ == 0 || month_ < 1 || month_ > 12 || day_ < 1 || day_ > days_in_month(year, month_)) {
        return TimeFault::range;
      }
      value_.day = day_of(year, month_, day_);
    }
    const bool after_midnight = hour_ == 24 && (minute_ > 0 || second_ > 0 || fraction_ > 0);
    if (!is_in_range_ || hour_ > 24 || minute_ > 59 || second_ > 60 || after_midnight)
      return TimeFault::range;
    value_.microseconds = ((hour_ * 60LL + minute_) * 60 + second_) * kSecond + fraction_;
    return TimeFault::none;
  }

  const char* at_;
  const char* end_;
  DateTime& value_;
  std::int64_t year_ = 0;
  unsigned month_ = 0;
  unsigned day_ = 0;
  unsigned hour_ = 0;
  unsigned minute_ = 0;
  unsigned second_ = 0;
  std::int64_t fraction_ = 0;
  bool is_bc_ = false;
  bool is_in_range_ = true;
};

template <class Integer>
std::optional<Integer> infinite(DateTime::Kind kind) noexcept {
  return kind == DateTime::Kind::infinity ? std::numeric_limits<Integer>::max()
                                          : std::numeric_limits<Integer>::min();
}

std::optional<std::int64_t> to_instant(const DateTime& value, std::int64_t zone) noexcept {
  if (value.kind != DateTime::Kind::finite) return infinite<std::int64_t>(value.kind);
  if (!value.has_date) return std::nullopt;
  // A month of room on either side: no day that a zone or a leap second can bring back, and no overflow.
  if (value.day < -kJulianEpoch - 31 || value.day > kTimestampEnd / kDay) return std::nullopt;
  const std::int64_t instant = value.day * kDay + value.microseconds - zone * kSecond;
  if (instant < kTimestampMin || instant >= kTimestampEnd) return std::nullopt;
  return instant;
}

}  // namespace

TimeFault parse_date_time(std::string_view text, DateTime& value) noexcept {
  value = {};
  if (text.empty() || text.size() > kLongest) return TimeFault::form;
  if (is_digit(text.front())) return Parser(text, value).run();
  const bool minus = text.front() == '-';
  if (!is_word(text.substr(minus ? 1 : 0), "infinity")) return TimeFault::form;
  value.kind = minus ? DateTime::Kind::minus_infinity : DateTime::Kind::infinity;
  value.has_date = true;
  return TimeFault::none;
}

std::optional<std::int32_t> to_date(const DateTime& value) noexcept {
  if (value.kind != DateTime::Kind::finite) return infinite<std::int32_t>(value.kind);
  if (!value.has_date || value.day < -kJulianEpoch || value.day >= kDateEnd) return std::nullopt;
  return static_cast<std::int32_t>(value.day);
}

std::optional<std::int64_t> to_time(const DateTime& value) noexcept {
  if (value.kind != DateTime::Kind::finite || !value.has_time || value.microseconds > kDay)
    return std::nullopt;
  return value.microseconds;
}

std::optional<std::int64_t> to_timestamp(const DateTime& value) noexcept { return to_instant(value, 0); }

std::optional<std::int64_t> to_timestamptz(const DateTime& value, std::int32_t zone_offset) noexcept {
  return to_instant(value, value.has_zone ? value.zone : zone_offset);
}

}  // namespace weir::load
