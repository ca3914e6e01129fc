// How diagnostics look to people and to programs.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/width.h"
#include "pipeline/define/diagnostics.h"

namespace weir::pipeline {
namespace {

// Of a line of the source, in characters: who sees more than this sees nothing.
constexpr std::size_t kShown = 100;

constexpr std::string_view name_of(Diagnostic::Severity severity) noexcept {
  return severity == Diagnostic::Severity::error ? "error" : "warning";
}

/// One character after the other, each as a terminal may show it.
std::vector<std::string> glyphs(std::string_view line) {
  std::vector<std::string> all;
  while (!line.empty()) {
    const std::size_t length = std::max<std::size_t>(1, utf8_length(line));
    const std::string_view one = line.substr(0, length);
    all.push_back(one == "\t" ? " " : printable(one));
    line.remove_prefix(length);
  }
  return all;
}

/// The line, and below it a caret at the character that `column` counts to.
std::string picture(std::string_view line, int number, int column) {
  const std::vector<std::string> all = glyphs(line);
  const std::size_t at = std::min(static_cast<std::size_t>(std::max(column, 1)) - 1, all.size());
  const std::size_t begin = at < kShown - 20 ? 0 : at - kShown / 2;
  const std::size_t end = std::min(all.size(), begin + kShown);
  std::string shown = begin == 0 ? "" : "…";
  std::string before = shown;
  for (std::size_t i = begin; i < end; ++i) {
    if (i == at) before = shown;
    shown += all[i];
  }
  if (at >= end) before = shown;
  if (end < all.size()) shown += "…";
  const std::string gutter = fmt::format("{:>5}", number);
  return fmt::format("{} | {}\n{:>{}} | {:>{}}^\n", gutter, shown, "", gutter.size(), "",
                     display_width(before));
}

std::string place_text(const Position& position) {
  std::string text = printable(position.file);
  if (position.line > 0) text += fmt::format(":{}:{}", position.line, position.column);
  return text.empty() ? text : text + ": ";
}

}  // namespace

std::string to_text(const Diagnostics& diagnostics) {
  std::string text;
  const std::vector<Diagnostic> all = diagnostics.sorted();
  for (const Diagnostic& one : all) {
    text +=
        fmt::format("{}{}: {}\n", place_text(one.position), name_of(one.severity), printable(one.message));
    const std::string_view line = diagnostics.source_line(one.position);
    if (!line.empty()) text += picture(line, one.position.line, one.position.column);
    if (!one.remedy.empty()) text += fmt::format("  {}\n", printable(one.remedy));
  }
  const std::size_t more = diagnostics.errors() + diagnostics.warnings() - all.size();
  if (more > 0) text += fmt::format("and {} more\n", human_count(static_cast<std::int64_t>(more)));
  return text;
}

nlohmann::ordered_json to_json(const Diagnostics& diagnostics) {
  auto list = nlohmann::ordered_json::array();
  for (const Diagnostic& one : diagnostics.sorted()) {
    const std::vector<std::string> line = glyphs(diagnostics.source_line(one.position));
    std::string source;
    for (std::size_t i = 0; i < std::min(line.size(), kShown * 2); ++i) source += line[i];
    const auto number = [](int value) {
      return value > 0 ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
    };
    list.push_back({{"severity", name_of(one.severity)},
                    {"file", one.position.file},
                    {"line", number(one.position.line)},
                    {"column", number(one.position.column)},
                    {"message", printable(one.message)},
                    {"remedy", printable(one.remedy)},
                    {"source", source}});
  }
  return list;
}

}  // namespace weir::pipeline
