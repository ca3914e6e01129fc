#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace weir::log {

enum class Level { debug, info, warn, error, off };
enum class Format {
  human,  ///< `03:04:05.678 warn  message  key=value`
  json,   ///< one object a line: ts, level, msg, and each field
};

/// A value that is known under a name: {"query", name}, {"rows", 3}. It views its strings; they live in the
/// caller.
struct Field {
  using Value = std::variant<std::string_view, std::int64_t, double, bool>;

  Field(std::string_view field, std::string_view text) : key(field), value(text) {}
  Field(std::string_view field, const char* text) : key(field), value(std::string_view(text)) {}
  Field(std::string_view field, const std::string& text) : key(field), value(std::string_view(text)) {}
  Field(std::string_view field, bool flag) : key(field), value(flag) {}
  Field(std::string_view field, double number) : key(field), value(number) {}
  template <std::integral Number>
  Field(std::string_view field, Number number) : key(field), value(static_cast<std::int64_t>(number)) {}

  std::string_view key;
  Value value;
};
using Fields = std::initializer_list<Field>;

struct Options {
  Level level = Level::info;
  Format format = Format::human;
  bool color = false;
  int fd = 2;  ///< each record is one write(2), so that lines of several processes do not mix
};

/// Until it is called: info, human, no colour, standard error.
void configure(const Options& options) noexcept;
[[nodiscard]] bool enabled(Level level) noexcept;

void debug(std::string_view message, Fields fields = {}) noexcept;
void info(std::string_view message, Fields fields = {}) noexcept;
void warn(std::string_view message, Fields fields = {}) noexcept;
void error(std::string_view message, Fields fields = {}) noexcept;

}  // namespace weir::log
