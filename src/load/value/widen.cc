#include "load/value/widen.h"

#include <algorithm>
#include <optional>

namespace weir::load {
namespace {

constexpr std::int32_t kMostPrecision = 1000;

bool is_integer(Base base) noexcept { return base == Base::int2 || base == Base::int4 || base == Base::int8; }
bool is_float(Base base) noexcept { return base == Base::float4 || base == Base::float8; }
bool is_number(Base base) noexcept { return is_integer(base) || is_float(base) || base == Base::numeric; }
bool is_json(Base base) noexcept { return base == Base::json || base == Base::jsonb; }

/// What an integer or a numeric(p,s) needs; nothing where there is no limit.
std::optional<NumericLimits> digits_of(const ColumnType& type) noexcept {
  switch (type.base) {
    case Base::int2: return NumericLimits{5, 0};
    case Base::int4: return NumericLimits{10, 0};
    case Base::int8: return NumericLimits{19, 0};
    default: return numeric_limits(type);
  }
}

ColumnType widened_numeric(const ColumnType& a, const ColumnType& b) {
  const auto left = digits_of(a);
  const auto right = digits_of(b);
  if (!left || !right) return type_of(Base::numeric);
  const std::int32_t scale = std::max(left->scale, right->scale);
  const std::int32_t whole = std::max(left->precision - left->scale, right->precision - right->scale);
  if (whole + scale > kMostPrecision) return type_of(Base::numeric);
  return numeric_of({.precision = whole + scale, .scale = scale});
}

ColumnType widened_number(const ColumnType& a, const ColumnType& b) {
  if (is_integer(a.base) && is_integer(b.base)) return type_of(std::max(a.base, b.base));
  if (a.base == Base::numeric || b.base == Base::numeric) return widened_numeric(a, b);
  if (is_float(a.base) && is_float(b.base)) return type_of(Base::float8);
  // A float holds an integer exactly as long as it has bits enough: 24 and 53.
  const Base whole = is_integer(a.base) ? a.base : b.base;
  const Base real = is_float(a.base) ? a.base : b.base;
  if (whole == Base::int2) return type_of(real);
  return type_of(whole == Base::int4 ? Base::float8 : Base::numeric);
}

/// varchar(n) with varchar(m), char(n) with char(m): where one has no limit the result has none.
ColumnType widened_length(const ColumnType& a, const ColumnType& b) {
  const auto left = length_limit(a);
  const auto right = length_limit(b);
  if (!left || !right) return type_of(a.base);
  const std::size_t length = std::max(*left, *right);
  return a.base == Base::varchar ? varchar_of(length) : bpchar_of(length);
}

ColumnType widened_same(const ColumnType& a, const ColumnType& b) {
  switch (a.base) {
    case Base::varchar:
    case Base::bpchar: return widened_length(a, b);
    case Base::numeric: return widened_numeric(a, b);
    case Base::time:
    case Base::timestamp:
    case Base::timestamptz:
      // The modifier is the digits of a second; none means all six.
      if (a.modifier < 0 || b.modifier < 0) return type_of(a.base);
      return a.modifier >= b.modifier ? a : b;
    case Base::other: return type_of(Base::text);  // two of them, or one with two modifiers
    default: return type_of(a.base);
  }
}

}  // namespace

ColumnType widened(const ColumnType& a, const ColumnType& b) {
  if (a == b) return a;
  if (a.base == b.base) return widened_same(a, b);
  if (is_number(a.base) && is_number(b.base)) return widened_number(a, b);
  if (is_json(a.base) && is_json(b.base)) return type_of(Base::jsonb);
  if (a.base == Base::date && b.base == Base::timestamp) return b;
  if (a.base == Base::timestamp && b.base == Base::date) return a;
  return type_of(Base::text);
}

bool can_hold(const ColumnType& target, const ColumnType& source) {
  if (target.base == Base::json && source.base == Base::jsonb) return true;
  return widened(target, source) == target;
}

}  // namespace weir::load
