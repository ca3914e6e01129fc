#include "base/log.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <iterator>

#include <unistd.h>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/text.h"

namespace weir::log {
namespace {

struct Settings {
  std::atomic<Level> level{Level::info};
  std::atomic<Format> format{Format::human};
  std::atomic<bool> color{false};
  std::atomic<int> fd{2};
};
Settings settings;

constexpr std::array<std::string_view, 4> kNames{"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 4> kColors{"\x1b[2m", "", "\x1b[33m", "\x1b[31m"};

void append_value(std::string& line, const Field::Value& value, Format format) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    const bool bare =
        format == Format::human && !text->empty() && text->find_first_of(" \t\r\n\"=") == text->npos;
    if (bare) {
      line.append(printable(*text));
    } else {
      append_json_string(line, *text);
    }
  } else if (const auto* number = std::get_if<double>(&value)) {
    const bool finite = std::isfinite(*number);  // JSON has no NaN and no infinity
    line.append(finite ? fmt::to_string(*number) : "null");
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    line.append(fmt::to_string(*integer));
  } else {
    line.append(std::get<bool>(value) ? "true" : "false");
  }
}

void append_human(std::string& line, Level level, std::string_view message, Fields fields, WallTime now) {
  const auto index = static_cast<std::size_t>(level);
  const bool color = settings.color.load(std::memory_order_relaxed) && !kColors.at(index).empty();
  const auto millis =
      std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch() % std::chrono::seconds(1);
  if (color) line.append(kColors.at(index));
  fmt::format_to(std::back_inserter(line), "{:%H:%M:%S}.{:03} {:<5} {}",
                 fmt::localtime(std::chrono::system_clock::to_time_t(now)), millis.count(), kNames.at(index),
                 printable(message));
  if (color) line.append("\x1b[0m");
  for (const Field& field : fields) {
    line.append("  ").append(printable(field.key)).push_back('=');
    append_value(line, field.value, Format::human);
  }
}

void append_json(std::string& line, Level level, std::string_view message, Fields fields, WallTime now) {
  const auto micros = now.time_since_epoch() % std::chrono::seconds(1);
  fmt::format_to(std::back_inserter(line), R"({{"ts":"{:%Y-%m-%dT%H:%M:%S}.{:06}Z","level":"{}","msg":)",
                 fmt::gmtime(std::chrono::system_clock::to_time_t(now)), micros.count(),
                 kNames.at(static_cast<std::size_t>(level)));
  append_json_string(line, message);
  for (const Field& field : fields) {
    line.push_back(',');
    append_json_string(line, field.key);
    line.push_back(':');
    append_value(line, field.value, Format::json);
  }
  line.push_back('}');
}

void write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;  // nobody is left to tell
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

void record(Level level, std::string_view message, Fields fields) noexcept {
  if (!enabled(level)) return;
  try {
    std::string line;
    const WallTime now = Clock::system().wall();
    const bool json = settings.format.load(std::memory_order_relaxed) == Format::json;
    const auto append = json ? append_json : append_human;
    append(line, level, message, fields, now);
    line.push_back('\n');
    write_all(settings.fd.load(std::memory_order_relaxed), line);
  } catch (...) {
    write_all(2, "weir: out of memory while logging\n");
  }
}

}  // namespace

void configure(const Options& options) noexcept {
  settings.level = options.level;
  settings.format = options.format;
  settings.color = options.color;
  settings.fd = options.fd;
}

bool enabled(Level level) noexcept { return level >= settings.level.load(std::memory_order_relaxed); }

void debug(std::string_view message, Fields fields) noexcept { record(Level::debug, message, fields); }
void info(std::string_view message, Fields fields) noexcept { record(Level::info, message, fields); }
void warn(std::string_view message, Fields fields) noexcept { record(Level::warn, message, fields); }
void error(std::string_view message, Fields fields) noexcept { record(Level::error, message, fields); }

}  // namespace weir::log
