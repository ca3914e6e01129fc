#include "pipeline/time/preview.h"

#include <fmt/format.h>

namespace weir::pipeline {
namespace {

using std::chrono::days;
using std::chrono::seconds;

template <class Time>
std::string date_and_time(Time time) {
  const auto day = std::chrono::floor<days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<seconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string fraction(WallTime at) {
  const auto rest = at - std::chrono::floor<seconds>(at);
  return rest.count() == 0 ? "" : fmt::format(".{:06}", rest.count());
}

Instant second_of(WallTime at) { return std::chrono::floor<seconds>(at); }

/// `before` is the offset of the occurrence in front of it.
std::string note_on(const Schedule& schedule, WallTime at, Offset before) {
  const Zone& zone = schedule.zone();
  const Offset offset = zone.offset(second_of(at));
  const Meaning meaning = zone.resolve(zone.to_local(second_of(at)));
  std::string note;
  if (before != offset)
    note = fmt::format("clocks went {}: {} > {}", offset > before ? "forward" : "back", offset_text(before),
                       offset_text(offset));
  const auto add = [&](std::string_view more) {
    if (!note.empty()) note += "; ";
    note += more;
  };
  if (schedule.is_moved(at)) add("moved: the hour it was for is skipped");
  if (meaning.kind == Meaning::Kind::repeated)
    add(second_of(at) == meaning.first ? "the first of two such times" : "the second of two such times");
  return note;
}

/// Reads `count` digits off the front of `text`.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<LocalTime> take_local(std::string_view& text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const auto date = std::chrono::year(*year) / *month / *day;
  if (!date.ok() || *year == 0) return std::nullopt;
  LocalTime time{std::chrono::local_days(date)};
  if (!take(text, 'T') && !take(text, ' ')) return time;
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59) return std::nullopt;
  time += std::chrono::hours(*hour) + std::chrono::minutes(*minute);
  if (!take(text, ':')) return time;
  const auto second = take_digits(text, 2);
  if (!second || *second > 59) return std::nullopt;
  return time + seconds(*second);
}

}  // namespace

std::string utc_text(WallTime at) { return date_and_time(at) + fraction(at) + "Z"; }

std::string offset_text(Offset offset) {
  const auto span = std::chrono::abs(offset);
  const std::chrono::hh_mm_ss clock(span);
  std::string text = fmt::format("{}{:02}:{:02}", offset < seconds(0) ? '-' : '+', clock.hours().count(),
                                 clock.minutes().count());
  if (clock.seconds().count() != 0) text += fmt::format(":{:02}", clock.seconds().count());
  return text;
}

std::string local_text(WallTime at, const Zone& zone) {
  return date_and_time(zone.to_local(second_of(at))) + fraction(at) + offset_text(zone.offset(second_of(at)));
}

std::vector<Occurrence> preview(const Schedule& schedule, WallTime after, int count) {
  std::vector<Occurrence> out;
  const Zone& zone = schedule.zone();
  Offset before = zone.offset(second_of(after));
  for (auto at = schedule.next_after(after); at && count > 0; at = schedule.next_after(*at), --count) {
    out.push_back({.at = *at,
                   .interval = schedule.interval(*at),
                   .utc = utc_text(*at),
                   .local = local_text(*at, zone),
                   .zone = zone.abbreviation(second_of(*at)),
                   .note = note_on(schedule, *at, before)});
    before = zone.offset(second_of(*at));
  }
  return out;
}

std::optional<WallTime> parse_instant(std::string_view text, const Zone& zone) {
  const auto local = take_local(text);
  if (!local) return std::nullopt;
  if (text.empty()) {
    const Meaning meaning = zone.resolve(*local);
    if (meaning.kind == Meaning::Kind::skipped) return std::nullopt;
    return WallTime(meaning.first);
  }
  const Instant at(local->time_since_epoch());
  if (text == "Z") return WallTime(at);
  const bool west = take(text, '-');
  if (!west && !take(text, '+')) return std::nullopt;
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || !text.empty() || *hours > 15 || *minutes > 59) return std::nullopt;
  const Offset offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return WallTime(west ? at + offset : at - offset);
}

}  // namespace weir::pipeline
