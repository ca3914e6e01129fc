#include "load/value/inference.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

#include "load/value/date_time.h"
#include "load/value/decimal.h"
#include "load/value/encode.h"
#include "load/value/json_break.h"
#include "load/value/text_check.h"
#include "load/value/widen.h"

namespace weir::load {
namespace {

// Kinds of values, as bits of ColumnFacts::kinds.
constexpr std::uint32_t kText = 1U << 0U;
constexpr std::uint32_t kBoolean = 1U << 1U;
constexpr std::uint32_t kInteger = 1U << 2U;   // of int8
constexpr std::uint32_t kFraction = 1U << 3U;  // with a point, or beyond int8
constexpr std::uint32_t kReal = 1U << 4U;      // with an exponent, NaN, infinity
constexpr std::uint32_t kExact = 1U << 5U;     // a number that float8 would change; beside one of the three
constexpr std::uint32_t kDate = 1U << 6U;
constexpr std::uint32_t kTimestamp = 1U << 7U;
constexpr std::uint32_t kTimestamptz = 1U << 8U;
constexpr std::uint32_t kUuid = 1U << 9U;
constexpr std::uint32_t kJson = 1U << 10U;
constexpr std::uint32_t kBytes = 1U << 11U;

constexpr std::uint32_t kNumbers = kInteger | kFraction | kReal | kExact;
constexpr std::size_t kLongestNumber = 1000;  // what is longer is text that happens to be digits

/// Any decimal of so many digits survives float8 and back.
constexpr std::size_t kSafeDigits = 15;

bool survives_float8(std::string_view text, const Digits& digits) {
  double value = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || std::isinf(value)) return false;
  if (digits.size() == 0) return true;
  if (value == 0) return false;
  if (digits.size() <= kSafeDigits) return std::fpclassify(value) == FP_NORMAL;
  std::array<char, 32> shown{};
  const auto written = std::to_chars(shown.data(), shown.data() + shown.size(), std::fabs(value),
                                     std::chars_format::scientific);
  const auto again = parse_decimal({shown.data(), static_cast<std::size_t>(written.ptr - shown.data())});
  if (!again) return false;
  const Digits back = significant_digits(*again);
  return back.point == digits.point &&
         std::string(back.first).append(back.second) == std::string(digits.first).append(digits.second);
}

std::uint32_t kinds_of_number(std::string_view text, const Decimal& number) {
  if (text.size() > kLongestNumber || !fits_numeric(number)) return kText;
  const std::uint32_t exact = survives_float8(text, significant_digits(number)) ? 0 : kExact;
  if (number.has_exponent) return kReal | exact;
  if (!number.has_point && to_int8(number)) return kInteger | exact;
  return kFraction | exact;
}

/// Phone numbers and codes look like numbers, and lose their zeros or their plus as such.
bool is_code(const Decimal& number) noexcept {
  const bool leading_zero = number.whole.size() > 1 && number.whole.front() == '0';
  return leading_zero || (number.has_sign && !number.negative);
}

std::uint32_t kinds_of_time(std::string_view text) {
  DateTime value;
  if (parse_date_time(text, value) != TimeFault::none || !value.has_date ||
      value.kind != DateTime::Kind::finite) {
    return kText;
  }
  if (!value.has_time) return to_date(value) ? kDate : kText;
  if (!to_timestamptz(value, 0) || !to_timestamp(value)) return kText;
  return value.has_zone ? kTimestamptz : kTimestamp;
}

/// A date joins timestamps, whose range is smaller.
bool is_date_of_timestamp(std::string_view text) {
  DateTime value;
  return parse_date_time(text, value) == TimeFault::none && to_timestamp(value);
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
    return false;
  std::string out;
  std::string reason;
  return encode_uuid({.kind = Cell::Kind::text, .text = text}, out, reason);
}

std::uint32_t kinds_of_text(std::string_view whole) {
  if (is_uuid(whole)) return kUuid;
  constexpr std::size_t kLongestOther = kLongestNumber + 16;
  if (whole.size() > kLongestOther) return kText;
  const std::string_view text = trim_spaces(whole);
  if (text.empty()) return kText;
  if (const auto number = parse_decimal(text))
    return is_code(*number) ? kText : kinds_of_number(text, *number);
  for (const std::string_view word : {"true", "false", "t", "f"}) {
    if (is_word(text, word)) return kBoolean;
  }
  for (const std::string_view word : {"nan", "infinity", "-infinity"}) {
    if (is_word(text, word)) return kReal;
  }
  const std::uint32_t time = kinds_of_time(text);
  return time == kDate && !is_date_of_timestamp(text) ? kText : time;
}

std::uint32_t kinds_of(const Cell& cell) {
  switch (cell.kind) {
    case Cell::Kind::null:
    case Cell::Kind::absent: return 0;
    case Cell::Kind::boolean: return cell.text == "true" || cell.text == "false" ? kBoolean : kText;
    case Cell::Kind::bytes: return kBytes;
    case Cell::Kind::json: return find_json_break(cell.text, kJsonbRules) ? kText : kJson;
    case Cell::Kind::number: {
      const auto number = parse_decimal(cell.text);
      return number ? kinds_of_number(cell.text, *number) : kText;
    }
    case Cell::Kind::text: break;
  }
  return kinds_of_text(cell.text);
}

/// Nothing can be lost of it; else it has to be looked at.
bool is_plain(std::string_view text, Base base) noexcept {
  const char first = text.empty() ? '\0' : text.front();
  switch (base) {
    case Base::boolean: return first == 't' || first == 'f' || first == 'T' || first == 'F';
    case Base::int8:
    case Base::numeric: {
      const std::string_view digits = text.substr(first == '-' ? 1 : 0);
      return !digits.empty() && ((digits[0] >= '1' && digits[0] <= '9') || digits.size() == 1 ||
                                 (digits[0] == '0' && digits[1] == '.'));
    }
    case Base::float8: return text.size() <= kSafeDigits && first != '0' && first != '+';
    case Base::date: return text.size() <= std::string_view("2026-01-01").size();
    case Base::timestamp: return text.size() <= std::string_view("2026-01-01 00:00:00").size();
    default: return true;
  }
}

}  // namespace

bool is_kept(const Cell& cell, Base base) {
  const bool counts =
      cell.kind == Cell::Kind::text || (cell.kind == Cell::Kind::number && base == Base::float8);
  if (!counts || is_plain(cell.text, base)) return true;
  ColumnFacts facts;
  facts.observe(cell);
  const ColumnType type = type_of(base);
  // 0.1 and 7 are in float8 what they are, also where a column of them alone would have been numeric.
  if (base == Base::float8 && (facts.kinds & ~(kNumbers & ~kExact)) == 0) return true;
  if (base == Base::int8 && facts.base() == Base::numeric) return true;  // 05.0 is none, 0.0 is 0
  return widened(type, type_of(facts.base())) == type;
}

void ColumnFacts::observe(const Cell& cell) {
  if (cell.is_null()) {
    ++nulls;
    return;
  }
  ++values;
  longest = std::max(longest, cell.text.size());
  if ((kinds & kText) == 0) kinds |= kinds_of(cell);  // text holds all: no need to look
}

void ColumnFacts::join(const ColumnFacts& other) noexcept {
  kinds |= other.kinds;
  values += other.values;
  nulls += other.nulls;
  longest = std::max(longest, other.longest);
}

Base ColumnFacts::base() const noexcept {
  switch (kinds) {
    case kBoolean: return Base::boolean;
    case kDate: return Base::date;
    case kTimestamp:
    case kTimestamp | kDate: return Base::timestamp;
    case kTimestamptz: return Base::timestamptz;
    case kUuid: return Base::uuid;
    case kJson: return Base::jsonb;
    case kBytes: return Base::bytea;
    default: break;
  }
  if (kinds == 0 || (kinds & ~kNumbers) != 0) return Base::text;
  if ((kinds & kReal) != 0) return (kinds & kExact) != 0 ? Base::numeric : Base::float8;
  return (kinds & kFraction) != 0 ? Base::numeric : Base::int8;
}

bool Inference::observe(std::span<const Cell> cells) {
  if (columns_.size() < cells.size()) columns_.resize(cells.size());
  bool changed = false;
  for (std::size_t column = 0; column < cells.size(); ++column) {
    ColumnFacts& facts = columns_[column];
    const std::uint32_t before = facts.kinds;
    const Base base = facts.base();
    facts.observe(cells[column]);
    changed = changed || (facts.kinds != before && facts.base() != base);
  }
  return changed;
}

void Inference::join(const Inference& other) {
  if (columns_.size() < other.columns_.size()) columns_.resize(other.columns_.size());
  for (std::size_t column = 0; column < other.columns_.size(); ++column) {
    columns_[column].join(other.columns_[column]);
  }
}

std::vector<ColumnType> Inference::types() const {
  std::vector<ColumnType> types;
  types.reserve(columns_.size());
  for (const ColumnFacts& facts : columns_) types.push_back(type_of(facts.base()));
  return types;
}

}  // namespace weir::load
