#pragma once

#include <bitset>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "pipeline/time/local_time.h"

namespace weir::pipeline {

/// A cron expression that cannot be used, and where in it.
class CronError final : public Error {
 public:
  CronError(std::string_view text, std::string_view field, std::size_t at, const std::string& what,
            std::string remedy);

  /// "hour"; empty when it is about the whole.
  [[nodiscard]] const std::string& field() const noexcept { return field_; }
  /// In characters from 1, within the expression.
  [[nodiscard]] int column() const noexcept { return column_; }

 private:
  std::string field_;
  int column_;
};

/// Minutes of local time: five fields as in Vixie's cron, or @hourly, @daily, @weekly, @monthly, @yearly.
/// Where neither day field begins with `*`, one of the two is enough; else a day must match both.
class Cron {
 public:
  /// Throws CronError, also where no date can ever match.
  static Cron parse(std::string_view text);

  [[nodiscard]] bool matches(LocalTime time) const;
  /// The first matching minute in [from, end); nothing where there is none.
  [[nodiscard]] std::optional<LocalTime> next(LocalTime from, LocalTime end) const;
  /// No `*` and no step in the hour field: it means hours of the clock, and not a rhythm.
  [[nodiscard]] bool fixed_hours() const noexcept { return fixed_hours_; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  Cron() = default;
  [[nodiscard]] bool has_day(std::chrono::year_month_day day) const;

  std::string text_;
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;    // bit 0 is never set
  std::bitset<13> months_;  // nor here
  std::bitset<7> weekdays_;
  bool either_day_ = false;
  bool fixed_hours_ = false;
};

}  // namespace weir::pipeline
