#include "pipeline/define/instant_text.h"

#include <algorithm>
#include <string>

#include "pipeline/define/schedule_check.h"

namespace weir::pipeline {
namespace {

constexpr std::size_t kDate = std::string_view("2026-01-31").size();
constexpr std::size_t kSecond = std::string_view("2026-01-31T06:00:00").size();

/// PostgreSQL counts from year 1.
bool is_instant(std::string_view text) {
  return !text.starts_with("0000") && parse_instant(std::string(text), "UTC").has_value();
}

}  // namespace

bool is_date_text(std::string_view text) { return text.size() == kDate && is_instant(text); }

bool is_timestamp_text(std::string_view text) {
  if (text.size() <= kSecond || text[kSecond] != '.') return is_instant(text);
  const std::string_view behind = text.substr(kSecond + 1);
  const std::size_t digits = std::min(behind.find_first_not_of("0123456789"), behind.size());
  return digits > 0 && is_instant(std::string(text.substr(0, kSecond)) + std::string(behind.substr(digits)));
}

}  // namespace weir::pipeline
