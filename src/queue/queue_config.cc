#include "queue/queue_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::queue {
namespace {

constexpr Duration kLongest = std::chrono::hours(24 * 365);

[[noreturn]] void refuse(std::string_view key, std::string_view value, std::string_view wanted) {
  throw Error(ExitCode::usage, fmt::format("{} cannot be '{}': it takes {}", key, printable(value), wanted));
}

std::optional<std::int32_t> to_number(std::string_view text, std::int32_t most) {
  std::int32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < 1 || number > most) return std::nullopt;
  return number;
}

std::int32_t read_number(std::string_view key, std::string_view value, std::int32_t most) {
  const auto number = to_number(value, most);
  if (!number) refuse(key, value, fmt::format("a number from 1 to {}", most));
  return *number;
}

Duration read_span(std::string_view key, std::string_view value, Duration least) {
  const auto span = parse_duration(value);
  if (!span || *span < least || *span > kLongest)
    refuse(key, value, "a time such as 250ms, 5s, 2m, 1h or 1d");
  return *span;
}

QueueConfig::Rate read_rate(std::string_view key, std::string_view value) {
  const std::size_t slash = value.find('/');
  if (slash != std::string_view::npos) {
    const auto jobs = to_number(value.substr(0, slash), std::numeric_limits<std::int32_t>::max());
    const std::string_view unit = value.substr(slash + 1);
    // "100/s" is "100/1s"
    const bool counted = unit.empty() || (unit.front() >= '0' && unit.front() <= '9');
    std::string period(counted ? "" : "1");
    period += unit;
    const auto span = parse_duration(period);
    if (jobs && span && *span > Duration::zero() && *span <= kLongest) return {*jobs, *span};
  }
  refuse(key, value, "jobs for each time, such as 100/s, 1000/h or 5/10m");
}

bool read_switch(std::string_view key, std::string_view value) {
  if (value == "on" || value == "true" || value == "yes") return true;
  if (value == "off" || value == "false" || value == "no" || value == "none") return false;
  refuse(key, value, "on or off");
}

std::string span_word(Duration span) {
  struct Unit {
    std::string_view name;
    Duration length;
  };
  constexpr std::array kUnits{Unit{"d", std::chrono::hours(24)}, Unit{"h", std::chrono::hours(1)},
                              Unit{"m", std::chrono::minutes(1)}, Unit{"s", std::chrono::seconds(1)}};
  for (const Unit& unit : kUnits) {
    if (span >= unit.length && span % unit.length == Duration::zero())
      return fmt::format("{}{}", span / unit.length, unit.name);
  }
  return fmt::format("{}ms", span / std::chrono::milliseconds(1));
}

std::string number_word(const std::optional<std::int32_t>& number) {
  return number ? std::to_string(*number) : "none";
}

std::string rate_word(const std::optional<QueueConfig::Rate>& rate) {
  if (!rate) return "none";
  std::string period = span_word(rate->period);
  if (period.size() == 2 && period.front() == '1') period.erase(0, 1);
  return fmt::format("{}/{}", rate->jobs, period);
}

/// Days, also written as such.
std::int32_t read_days(std::string_view key, std::string_view value, std::string_view otherwise) {
  const auto number = to_number(value.ends_with('d') ? value.substr(0, value.size() - 1) : value, 3650);
  if (!number) refuse(key, value, fmt::format("days from 1 to 3650, or {}", otherwise));
  return *number;
}

void set(QueueConfig& config, std::string_view key, std::string_view value) {
  const QueueConfig defaults;
  const bool none = value == "none";
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  if (key == "max_attempts") {
    config.max_attempts = none ? defaults.max_attempts : read_number(key, value, 32767);
  } else if (key == "backoff") {
    config.backoff = none ? defaults.backoff : read_span(key, value, Duration::zero());
  } else if (key == "backoff_cap") {
    config.backoff_cap = none ? defaults.backoff_cap : read_span(key, value, Duration::zero());
  } else if (key == "timeout") {
    config.timeout = none ? std::nullopt : std::optional(read_span(key, value, std::chrono::milliseconds(1)));
  } else if (key == "keep") {
    config.keep_days = none ? std::nullopt : std::optional(read_days(key, value, "none"));
  } else if (key == "keep_dead") {
    const bool for_ever = none || value == "forever";
    config.keep_dead_days = for_ever ? std::nullopt : std::optional(read_days(key, value, "forever"));
  } else if (key == "max_running") {
    config.max_running = none ? std::nullopt : std::optional(read_number(key, value, kMost));
  } else if (key == "max_per_key") {
    config.max_per_key = none ? std::nullopt : std::optional(read_number(key, value, kMost));
  } else if (key == "rate") {
    config.rate = none ? std::nullopt : std::optional(read_rate(key, value));
  } else if (key == "relaxed") {
    config.relaxed = read_switch(key, value);
  }
}

}  // namespace

std::vector<std::pair<std::string_view, std::string>> to_words(const QueueConfig& config) {
  return {{"max_attempts", std::to_string(config.max_attempts)},
          {"backoff", span_word(config.backoff)},
          {"backoff_cap", span_word(config.backoff_cap)},
          {"timeout", config.timeout ? span_word(*config.timeout) : "none"},
          {"keep", config.keep_days ? fmt::format("{}d", *config.keep_days) : "none"},
          {"keep_dead", config.keep_dead_days ? fmt::format("{}d", *config.keep_dead_days) : "forever"},
          {"max_running", number_word(config.max_running)},
          {"max_per_key", number_word(config.max_per_key)},
          {"rate", rate_word(config.rate)},
          {"relaxed", config.relaxed ? "on" : "off"}};
}

void set_word(QueueConfig& config, std::string_view word) {
  const std::size_t equals = word.find('=');
  const std::string_view key = word.substr(0, equals);
  std::vector<std::string_view> known;
  for (const auto& [name, value] : to_words(config)) known.push_back(name);
  if (std::find(known.begin(), known.end(), key) == known.end()) {
    const auto near = closest(key, known);
    throw Error(ExitCode::usage, fmt::format("a queue has no setting '{}'", printable(key)),
                near ? fmt::format("Did you mean '{}'? All settings: {}", *near, fmt::join(known, ", "))
                     : fmt::format("Settings: {}", fmt::join(known, ", ")));
  }
  if (equals == std::string_view::npos)
    throw Error(ExitCode::usage, fmt::format("'{}' has no value", key), fmt::format("Write {}=VALUE.", key));
  set(config, key, word.substr(equals + 1));
}

void check_config(const QueueConfig& config) {
  if (config.backoff_cap >= config.backoff) return;
  throw Error(ExitCode::usage,
              fmt::format("backoff_cap ({}) is less than backoff ({})", span_word(config.backoff_cap),
                          span_word(config.backoff)),
              "The pause before a retry grows from backoff to backoff_cap: set both.");
}

void check_queue_name(std::string_view name) {
  constexpr std::size_t kLongestName = 100;
  std::size_t characters = 0;
  bool is_good = !name.empty();
  for (std::string_view rest = name; is_good && !rest.empty();) {
    const std::size_t length = utf8_length(rest);
    is_good = length > 0 && !is_control(rest.substr(0, length)) && ++characters <= kLongestName;
    rest.remove_prefix(length);
  }
  if (is_good) return;
  throw Error(ExitCode::usage, fmt::format("'{}' cannot be the name of a queue", printable(elide(name, 60))),
              "A name has 1 to 100 characters, none of them a control character.");
}

}  // namespace weir::queue
