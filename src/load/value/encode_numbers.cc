#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "load/value/decimal.h"
#include "load/value/encode.h"
#include "load/value/field.h"
#include "load/value/text_check.h"

namespace weir::load {
namespace {

/// Up to 18 digits with a sign: what nearly all whole numbers are.
bool parse_short(std::string_view text, std::int64_t& value) noexcept {
  constexpr std::size_t kNoOverflow = std::numeric_limits<std::int64_t>::digits10;
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > kNoOverflow) return false;
  std::int64_t sum = 0;
  for (const char c : text) {
    const auto digit = static_cast<unsigned char>(c - '0');
    if (digit > 9) return false;
    sum = sum * 10 + digit;
  }
  value = negative ? -sum : sum;
  return true;
}

enum class Whole : std::uint8_t { ok, none, too_large };

Whole parse_whole(const Cell& cell, std::int64_t& value) noexcept {
  if (parse_short(cell.text, value)) return Whole::ok;
  const auto number = parse_decimal(trim_spaces(cell.text));
  if (!number) return Whole::none;
  // PostgreSQL takes "5.0" for no integer; in JSON it is the same number as 5.
  const bool plain = !number->has_point && !number->has_exponent;
  if (!plain && cell.kind != Cell::Kind::number) return Whole::none;
  const auto whole = to_int8(*number);
  if (!whole) {
    const Digits digits = significant_digits(*number);
    return digits.point < static_cast<std::int64_t>(digits.size()) ? Whole::none : Whole::too_large;
  }
  value = *whole;
  return Whole::ok;
}

template <class Integer>
bool put_checked(const Cell& cell, std::int64_t value, Base base, std::string& out, std::string& reason) {
  if (value < std::numeric_limits<Integer>::min() || value > std::numeric_limits<Integer>::max()) {
    return refuse_range(cell, base_name(base), reason);
  }
  put_integer(out, static_cast<Integer>(value));
  return true;
}

template <class Float>
bool parse_special(std::string_view text, Float& value) noexcept {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  if (is_word(text, "nan")) {
    value = std::numeric_limits<Float>::quiet_NaN();
    return true;
  }
  if (!is_word(text, "inf") && !is_word(text, "infinity")) return false;
  value = negative ? -std::numeric_limits<Float>::infinity() : std::numeric_limits<Float>::infinity();
  return true;
}

/// A number that is so small that it became zero is an error to PostgreSQL, one that is zero is not.
bool is_written_zero(std::string_view digits) noexcept {
  for (const char c : digits) {
    if (c == 'e' || c == 'E') break;
    if (c >= '1' && c <= '9') return false;
  }
  return true;
}

template <class Float>
bool put_float(const Cell& cell, Base base, std::string& out, std::string& reason) {
  using Bits = std::conditional_t<sizeof(Float) == 8, std::int64_t, std::int32_t>;
  std::string_view text = trim_spaces(cell.text);
  Float value = 0;
  if (!parse_special(text, value)) {
    const bool has_sign = text.starts_with('+') || text.starts_with('-');
    const char first = text.size() > (has_sign ? 1U : 0U) ? text[has_sign ? 1 : 0] : '\0';
    const bool begins =
        (first >= '0' && first <= '9') || first == '.';  // not the words that from_chars knows
    if (text.starts_with('+')) text.remove_prefix(1);
    const char* const end = text.data() + text.size();
    const auto parsed = begins ? std::from_chars(text.data(), end, value)
                               : std::from_chars_result{text.data(), std::errc::invalid_argument};
    if (parsed.ec == std::errc::invalid_argument || parsed.ptr != end) {
      return refuse(cell, base, reason);
    }
    const bool vanished = value == 0 && !is_written_zero(text);
    if (parsed.ec == std::errc::result_out_of_range || std::isinf(value) || vanished) {
      return refuse_range(cell, base_name(base), reason);
    }
  }
  Bits bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  put_integer(out, bits);
  return true;
}

bool is_prefix(std::string_view text, std::string_view word, std::size_t least = 1) noexcept {
  return text.size() >= least && text.size() <= word.size() && is_word(text, word.substr(0, text.size()));
}

bool takes(const Cell& cell) noexcept {
  return cell.kind == Cell::Kind::text || cell.kind == Cell::Kind::number;
}

}  // namespace

bool refuse(const Cell& cell, Base base, std::string& reason) {
  reason = cell.kind == Cell::Kind::bytes
               ? fmt::format("{} bytes are no {}", cell.text.size(), base_name(base))
               : fmt::format("{} is no {}", quoted(cell.text), base_name(base));
  return false;
}

bool refuse_range(const Cell& cell, std::string_view type, std::string& reason) {
  reason = fmt::format("{} is out of the range of {}", quoted(cell.text), type);
  return false;
}

bool encode_boolean(const Cell& cell, std::string& out, std::string& reason) {
  const std::string_view text = trim_spaces(cell.text);
  const bool truth = is_prefix(text, "true") || is_prefix(text, "yes") || is_word(text, "on") || text == "1";
  const bool falsehood =
      is_prefix(text, "false") || is_prefix(text, "no") || is_prefix(text, "off", 2) || text == "0";
  if (!(truth || falsehood) || !(takes(cell) || cell.kind == Cell::Kind::boolean)) {
    return refuse(cell, Base::boolean, reason);
  }
  put_integer(out, static_cast<std::int8_t>(truth));
  return true;
}

bool encode_integer(const Cell& cell, Base base, std::string& out, std::string& reason) {
  if (!takes(cell)) return refuse(cell, base, reason);
  std::int64_t value = 0;
  switch (parse_whole(cell, value)) {
    case Whole::ok: break;
    case Whole::none: return refuse(cell, base, reason);
    case Whole::too_large: return refuse_range(cell, base_name(base), reason);
  }
  if (base == Base::int2) return put_checked<std::int16_t>(cell, value, base, out, reason);
  if (base == Base::int4) return put_checked<std::int32_t>(cell, value, base, out, reason);
  put_integer(out, value);
  return true;
}

bool encode_float(const Cell& cell, Base base, std::string& out, std::string& reason) {
  if (!takes(cell)) return refuse(cell, base, reason);
  return base == Base::float4 ? put_float<float>(cell, base, out, reason)
                              : put_float<double>(cell, base, out, reason);
}

}  // namespace weir::load
