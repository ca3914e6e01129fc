#include "pipeline/time/cron.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "pipeline/time/cron_fields.h"

namespace weir::pipeline {
namespace {

using std::chrono::days;
using std::chrono::local_days;
using std::chrono::year_month_day;

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kMacros{{{"@hourly", "0 * * * *"},
                                                                                {"@daily", "0 0 * * *"},
                                                                                {"@midnight", "0 0 * * *"},
                                                                                {"@weekly", "0 0 * * 0"},
                                                                                {"@monthly", "0 0 1 * *"},
                                                                                {"@yearly", "0 0 1 1 *"},
                                                                                {"@annually", "0 0 1 1 *"}}};

// February as in a leap year.
constexpr std::array<int, 13> kLongest{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

struct Word {
  std::size_t at;
  std::string_view text;
};

std::vector<Word> words_of(std::string_view text) {
  std::vector<Word> words;
  for (std::size_t at = 0; at < text.size();) {
    at = text.find_first_not_of(" \t", at);
    if (at == std::string_view::npos) break;
    const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    words.push_back({at, text.substr(at, end - at)});
    at = end;
  }
  return words;
}

std::string_view expand_macro(std::string_view text, const Word& word) {
  std::vector<std::string_view> names;
  for (const auto& [name, meaning] : kMacros) {
    if (name == word.text) return meaning;
    names.push_back(name);
  }
  const std::string what = fmt::format("'{}' is not known", printable(word.text));
  if (word.text == "@every")
    throw CronError(text, "", word.at, what, "A fixed rhythm is not cron: write every: 5m");
  if (word.text == "@reboot")
    throw CronError(text, "", word.at, what, "A schedule is about time: there is no reboot in it.");
  const auto guess = closest(word.text, names);
  throw CronError(
      text, "", word.at, what,
      guess ? fmt::format("Did you mean {}?", *guess) : fmt::format("Known are {}.", fmt::join(names, ", ")));
}

void require_five(std::string_view text, const std::vector<Word>& words) {
  if (words.size() == kCronFields.size()) return;
  const std::string remedy = "They are: minute hour day-of-month month day-of-week, such as 30 6 * * mon-fri";
  if (words.empty()) throw CronError(text, "", 0, "it is empty", remedy);
  if (words.front().text.find("TZ=") != std::string_view::npos)
    throw CronError(text, "", words.front().at, "it names a time zone",
                    "That is a setting of its own: timezone");
  if (words.size() < kCronFields.size()) {
    throw CronError(text, kCronFields.at(words.size()).name, text.size(),
                    fmt::format("it has {} of five fields", words.size()), remedy);
  }
  throw CronError(
      text, "", words[kCronFields.size()].at, fmt::format("it has {} fields", words.size()),
      words.size() == 6 ? "Five fields; there is none for seconds: every: 30s has them." : remedy);
}

template <std::size_t Size>
std::bitset<Size> part(const std::bitset<60>& all) {
  std::bitset<Size> out;
  for (std::size_t bit = 0; bit < Size; ++bit) out.set(bit, all.test(bit));
  return out;
}

/// The first set bit from `bit` on; Size when there is none.
template <std::size_t Size>
std::size_t next_bit(const std::bitset<Size>& set, std::size_t bit) noexcept {
  while (bit < Size && !set.test(bit)) ++bit;
  return bit;
}

}  // namespace

CronError::CronError(std::string_view text, std::string_view field, std::size_t at, const std::string& what,
                     std::string remedy)
    : Error(ExitCode::definition,
            fmt::format("cron '{}', column {}{}{}: {}", elide(printable(text), 200), at + 1,
                        field.empty() ? "" : ", ", field, what),
            std::move(remedy)),
      field_(field),
      column_(static_cast<int>(at) + 1) {}

Cron Cron::parse(std::string_view text) {
  std::vector<Word> words = words_of(text);
  std::string_view meaning = text;
  if (words.size() >= 1 && words.front().text.starts_with('@')) {
    meaning = expand_macro(text, words.front());
    if (words.size() > 1) {
      throw CronError(text, "", words[1].at, fmt::format("nothing may follow {}", words.front().text),
                      "Leave out the rest.");
    }
    words = words_of(meaning);
  }
  require_five(text, words);

  std::array<CronValues, kCronFields.size()> values;
  for (std::size_t i = 0; i < values.size(); ++i)
    values.at(i) = read_cron_field(meaning, i, words[i].at, words[i].text);

  Cron cron;
  cron.text_ = std::string(trim(text));
  cron.minutes_ = values[0].set;
  cron.hours_ = part<24>(values[1].set);
  cron.days_ = part<32>(values[2].set);
  cron.months_ = part<13>(values[3].set);
  cron.weekdays_ = part<7>(values[4].set);
  cron.fixed_hours_ = !values[1].rhythm;
  cron.either_day_ = !values[2].begins_with_star && !values[4].begins_with_star;
  if (cron.either_day_) return cron;

  for (std::size_t month = 1; month <= 12; ++month) {
    const auto first = next_bit(cron.days_, 1);
    if (cron.months_.test(month) && first <= static_cast<std::size_t>(kLongest.at(month))) return cron;
  }
  throw CronError(text, kCronFields[2].name, words[2].at,
                  fmt::format("no month that is named has a day {}", next_bit(cron.days_, 1)),
                  "It would never run.");
}

bool Cron::has_day(year_month_day day) const {
  if (!months_.test(static_cast<unsigned>(day.month()))) return false;
  const bool by_date = days_.test(static_cast<unsigned>(day.day()));
  const bool by_week = weekdays_.test(std::chrono::weekday(local_days(day)).c_encoding());
  return either_day_ ? by_date || by_week : by_date && by_week;
}

bool Cron::matches(LocalTime time) const {
  const auto day = std::chrono::floor<days>(time);
  const auto minute = std::chrono::duration_cast<std::chrono::minutes>(time - day).count();
  return time == day + std::chrono::minutes(minute) && minutes_.test(static_cast<std::size_t>(minute % 60)) &&
         hours_.test(static_cast<std::size_t>(minute / 60)) && has_day(year_month_day(day));
}

std::optional<LocalTime> Cron::next(LocalTime from, LocalTime end) const {
  const auto start = std::chrono::ceil<std::chrono::minutes>(from);
  auto day = std::chrono::floor<days>(start);
  auto minute = static_cast<std::size_t>((start - day) / std::chrono::minutes(1));
  while (day < end) {
    const year_month_day date(day);
    if (!months_.test(static_cast<unsigned>(date.month()))) {
      day = local_days((date.year() / date.month() + std::chrono::months(1)) / 1);
      minute = 0;
      continue;
    }
    if (has_day(date)) {
      std::size_t hour = next_bit(hours_, minute / 60);
      std::size_t in_hour =
          hour == minute / 60 && hour < 24 ? next_bit(minutes_, minute % 60) : next_bit(minutes_, 0);
      if (in_hour == 60) {
        hour = next_bit(hours_, hour + 1);
        in_hour = next_bit(minutes_, 0);
      }
      if (hour < 24) {
        const LocalTime found = day + std::chrono::hours(hour) + std::chrono::minutes(in_hour);
        return found < end ? std::optional(found) : std::nullopt;
      }
    }
    day += days(1);
    minute = 0;
  }
  return std::nullopt;
}

}  // namespace weir::pipeline
