#include "pipeline/define/yaml/scalar.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/ascii.h"

namespace weir::pipeline::yaml {
namespace {

std::optional<std::int64_t> parse_digits(std::string_view digits, int base) noexcept {
  std::int64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value, base);
  if (digits.empty() || digits.front() == '-' || parsed.ec != std::errc() || parsed.ptr != end) return {};
  return value;
}

/// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_float_form(std::string_view text) noexcept {
  const auto take_digits = [&] {
    const auto count =
        static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
    text.remove_prefix(count);
    return count;
  };
  const std::size_t whole = take_digits();
  std::size_t fraction = 0;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = take_digits();
  }
  if (whole + fraction == 0) return false;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (take_digits() == 0) return false;
  }
  return text.empty();
}

}  // namespace

std::optional<bool> as_boolean(const Node& node) noexcept {
  if (!node.is_scalar() || node.quoted) return {};
  if (node.text == "true" || node.text == "True" || node.text == "TRUE") return true;
  if (node.text == "false" || node.text == "False" || node.text == "FALSE") return false;
  return {};
}

std::optional<std::int64_t> as_integer(const Node& node) noexcept {
  if (!node.is_scalar() || node.quoted) return {};
  std::string_view text = node.text;
  if (text.starts_with("0o")) return parse_digits(text.substr(2), 8);
  if (text.starts_with("0x")) return parse_digits(text.substr(2), 16);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const auto value = parse_digits(text, 10);
  return value && negative ? -*value : value;
}

std::optional<double> as_number(const Node& node) noexcept {
  if (!node.is_scalar() || node.quoted) return {};
  std::string_view text = node.text;
  const bool negative = text.starts_with('-');
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return std::numeric_limits<double>::quiet_NaN();
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == ".inf" || text == ".Inf" || text == ".INF") {
    return (negative ? -1 : 1) * std::numeric_limits<double>::infinity();
  }
  if (!is_float_form(text)) {
    const auto whole = as_integer(node);
    return whole ? std::optional(static_cast<double>(*whole)) : std::nullopt;
  }
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return {};
  return negative ? -value : value;
}

}  // namespace weir::pipeline::yaml
