#include "load/value/decimal.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/ascii.h"

namespace weir::load {
namespace {

std::string_view take_digits(std::string_view& text) noexcept {
  std::size_t length = 0;
  while (length < text.size() && is_digit(text[length])) ++length;
  const std::string_view digits = text.substr(0, length);
  text.remove_prefix(length);
  return digits;
}

/// Behind the letter e.
std::optional<std::int64_t> parse_exponent(std::string_view text) noexcept {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  const std::string_view digits = take_digits(text);
  if (digits.empty() || !text.empty()) return std::nullopt;
  std::int64_t value = 0;
  for (const char digit : digits) value = std::min(value * 10 + (digit - '0'), Decimal::kMostExponent);
  return negative ? -value : value;
}

}  // namespace

std::optional<Decimal> parse_decimal(std::string_view text) noexcept {
  Decimal number;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    number.has_sign = true;
    number.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  number.whole = take_digits(text);
  if (!text.empty() && text.front() == '.') {
    number.has_point = true;
    text.remove_prefix(1);
    number.fraction = take_digits(text);
  }
  if (number.whole.empty() && number.fraction.empty()) return std::nullopt;
  if (text.empty()) return number;
  if (text.front() != 'e' && text.front() != 'E') return std::nullopt;
  const auto exponent = parse_exponent(text.substr(1));
  if (!exponent) return std::nullopt;
  number.has_exponent = true;
  number.exponent = *exponent;
  return number;
}

Digits significant_digits(const Decimal& number) noexcept {
  std::string_view first = number.whole;
  std::string_view second = number.fraction;
  std::int64_t point = static_cast<std::int64_t>(first.size()) + number.exponent;
  const auto drop_front = [&](std::string_view& part) {
    const std::size_t zeros = std::min(part.find_first_not_of('0'), part.size());
    part.remove_prefix(zeros);
    point -= static_cast<std::int64_t>(zeros);
  };
  const auto drop_back = [](std::string_view& part) {
    part = part.substr(0, part.find_last_not_of('0') + 1);  // npos + 1 is none of it
  };
  drop_front(first);
  if (first.empty()) drop_front(second);
  drop_back(second);
  if (second.empty()) drop_back(first);
  if (first.empty() && second.empty()) point = 0;
  return {.first = first, .second = second, .point = point};
}

std::int64_t scale_of(const Decimal& number) noexcept {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(number.fraction.size()) - number.exponent);
}

bool fits_numeric(const Decimal& number) noexcept {
  if (number.exponent >= std::numeric_limits<std::int32_t>::max() / 2 ||
      number.exponent <= -(std::numeric_limits<std::int32_t>::max() / 2)) {
    return false;
  }
  return scale_of(number) <= kMostNumericScale && significant_digits(number).point <= kMostNumericDigits;
}

std::optional<std::int64_t> to_int8(const Decimal& number) noexcept {
  const Digits digits = significant_digits(number);
  const auto size = static_cast<std::int64_t>(digits.size());
  if (size == 0) return 0;
  if (digits.point < size || digits.point > std::numeric_limits<std::int64_t>::digits10 + 1) {
    return std::nullopt;
  }
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::uint64_t value = 0;
  const auto add = [&](std::string_view part) {
    for (const char digit : part) value = value * 10 + static_cast<std::uint64_t>(digit - '0');
  };
  add(digits.first);
  add(digits.second);
  for (std::int64_t at = size; at < digits.point; ++at) value *= 10;  // at most 19 digits: no overflow
  if (value > kMost + (number.negative ? 1U : 0U)) return std::nullopt;
  return static_cast<std::int64_t>(number.negative ? ~value + 1 : value);
}

}  // namespace weir::load
