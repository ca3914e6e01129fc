#include "pipeline/time/cron_fields.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/text.h"
#include "pipeline/time/cron.h"

namespace weir::pipeline {
namespace {

constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

/// One field; `at_` walks over the whole expression, so that an error knows its column.
class FieldReader {
 public:
  FieldReader(std::string_view text, std::size_t index, std::size_t at, std::size_t end)
      : text_(text), field_(kCronFields.at(index)), index_(index), at_(at), end_(end) {}

  CronValues read() {
    values_.begins_with_star = peek() == '*';
    for (;;) {
      read_item();
      if (at_ == end_) return values_;
      if (peek() != ',')
        fail(at_, fmt::format("'{}' is not understood here", printable(text_.substr(at_, end_ - at_))),
             "Values are separated by a comma.");
      ++at_;
    }
  }

 private:
  struct Value {
    int number;
    bool named;
    std::size_t at;
  };

  [[nodiscard]] char peek() const noexcept { return at_ < end_ ? text_[at_] : '\0'; }

  [[noreturn]] void fail(std::size_t at, const std::string& what, std::string remedy = {}) const {
    throw CronError(text_, field_.name, at, what, std::move(remedy));
  }

  void read_item() {
    const std::size_t begin = at_;
    int low = field_.least;
    int high = index_ == 4 ? 6 : field_.most;
    bool single = false;
    if (peek() == '*') {
      ++at_;
      values_.rhythm = true;
    } else {
      const Value first = read_value();
      low = high = first.number;
      single = peek() != '-';
      if (!single) {
        ++at_;
        const Value last = read_value();
        // The week of names may end on Sunday, as it does for most people.
        high = last.named && index_ == 4 && last.number == 0 && low > 0 ? 7 : last.number;
        if (high < low) refuse_backwards(begin, low, high);
      }
    }
    const int step = peek() == '/' ? read_step(begin, low, high, single) : 1;
    for (int value = low; value <= high; value += step)
      values_.set.set(static_cast<std::size_t>(index_ == 4 ? value % 7 : value));
  }

  [[noreturn]] void refuse_backwards(std::size_t begin, int low, int high) const {
    const int last = index_ == 4 ? 6 : field_.most;
    fail(begin, fmt::format("the range '{}' runs backwards", text_.substr(begin, at_ - begin)),
         fmt::format("Across the end it is two: {}-{},{}-{}", low, last, field_.least, high));
  }

  int read_step(std::size_t begin, int low, int high, bool single) {
    const std::size_t slash = at_++;
    if (single) {
      fail(slash, "a step needs a range or a '*' in front of it",
           fmt::format("Write {}-{}{}", text_.substr(begin, slash - begin), field_.most,
                       text_.substr(slash, end_of_number() - slash)));
    }
    const std::size_t number_at = at_;
    const auto step = read_number();
    if (!step) fail(number_at, "a step is a number", "Such as */5.");
    if (*step == 0) fail(number_at, "a step of 0 goes nowhere", "The smallest step is 1.");
    if (*step > 1 && *step > high - low) {
      fail(number_at, fmt::format("a step of {} is never taken: {}-{} ends before it", *step, low, high),
           "A step starts anew with each hour, day or month; a rhythm that does not is every: 90m");
    }
    values_.rhythm = true;
    return *step;
  }

  [[nodiscard]] std::size_t end_of_number() const noexcept {
    std::size_t end = at_;
    while (end < end_ && is_digit(text_[end])) ++end;
    return end;
  }

  /// Nothing where there are no digits; a number that is too long is one that no field has.
  std::optional<int> read_number() {
    const std::size_t end = end_of_number();
    if (end == at_) return std::nullopt;
    int number = 0;
    const auto read = std::from_chars(text_.data() + at_, text_.data() + end, number);
    at_ = end;
    return read.ec == std::errc() ? number : 1'000'000'000;
  }

  Value read_value() {
    const std::size_t begin = at_;
    if (const auto number = read_number()) {
      if (*number < field_.least || *number > field_.most)
        fail(begin, fmt::format("{} is not within {}-{}", text_.substr(begin, at_ - begin), field_.least,
                                field_.most));
      return {*number, false, begin};
    }
    while (at_ < end_ && is_letter(text_[at_])) ++at_;
    if (at_ == begin) refuse_value(begin);
    return {named(begin, text_.substr(begin, at_ - begin)), true, begin};
  }

  [[noreturn]] void refuse_value(std::size_t begin) const {
    const char c = peek();
    if (c == '\0' || c == ',' || c == '-') fail(begin, "a value is missing");
    fail(begin, fmt::format("'{}' is not understood here", printable(text_.substr(begin, end_ - begin))),
         c == '?' || c == '#' ? "Of other dialects of cron; any value is '*'." : "");
  }

  [[nodiscard]] int named(std::size_t begin, std::string_view word) const {
    std::string lower(word);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return is_letter(c) ? static_cast<char>(c | 0x20) : c; });
    const auto look_up = [&](const auto& names, int first) {
      const auto is = [&](std::string_view wanted) {
        const auto found = std::find(names.begin(), names.end(), wanted);
        return found == names.end() ? -1 : static_cast<int>(found - names.begin()) + first;
      };
      if (const int number = is(lower); number >= 0) return number;
      const std::string_view start = std::string_view(lower).substr(0, 3);
      const auto guess = is(start) >= 0 ? std::optional(start) : closest(lower, names);
      fail(begin, fmt::format("'{}' is no {}", word, field_.name),
           guess ? fmt::format("Did you mean {}?", *guess)
                 : fmt::format("Names are {}.", fmt::join(names, ", ")));
    };
    if (index_ == 3) return look_up(kMonths, 1);
    if (index_ == 4) return look_up(kWeekdays, 0);
    fail(begin, fmt::format("'{}' is not a number", word));
  }

  std::string_view text_;
  CronField field_;
  std::size_t index_;
  std::size_t at_;
  std::size_t end_;
  CronValues values_;
};

}  // namespace

CronValues read_cron_field(std::string_view text, std::size_t index, std::size_t at, std::string_view field) {
  return FieldReader(text, index, at, at + field.size()).read();
}

}  // namespace weir::pipeline
