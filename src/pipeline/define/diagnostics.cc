#include "pipeline/define/diagnostics.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/conninfo.h"

namespace weir::pipeline {

void Diagnostics::error(Position position, std::string message, std::string remedy) {
  ++errors_;
  add(Diagnostic::Severity::error, std::move(position), std::move(message), std::move(remedy));
}

void Diagnostics::warning(Position position, std::string message, std::string remedy) {
  ++warnings_;
  add(Diagnostic::Severity::warning, std::move(position), std::move(message), std::move(remedy));
}

void Diagnostics::add(Diagnostic::Severity severity, Position position, std::string message,
                      std::string remedy) {
  if (kept_.size() < kKept) {
    kept_.push_back({severity, std::move(position), std::move(message), std::move(remedy)});
    return;
  }
  // An error is worth more than a warning that came before it.
  if (severity != Diagnostic::Severity::error) return;
  const auto warning = std::find_if(kept_.begin(), kept_.end(), [](const Diagnostic& one) {
    return one.severity == Diagnostic::Severity::warning;
  });
  if (warning != kept_.end())
    *warning = {severity, std::move(position), std::move(message), std::move(remedy)};
}

void Diagnostics::add_source(const std::string& file, std::string text) {
  Source source{std::move(text), {0}};
  for (std::size_t at = 0; at < source.text.size(); ++at) {
    if (source.text[at] == '\n') source.lines.push_back(at + 1);
  }
  sources_.insert_or_assign(file, std::move(source));
}

std::string Diagnostics::suggest(std::string_view word, std::span<const std::string_view> known) {
  // What differs much in length is not near, and costs nothing to tell.
  const std::size_t slack = std::max<std::size_t>(1, word.size() / 3);
  std::vector<std::string_view> near;
  for (const std::string_view one : known) {
    if (one.size() > word.size() + slack || one.size() + slack < word.size()) continue;
    const std::size_t effort = (word.size() + 1) * (one.size() + 1);
    if (effort > effort_) return {};
    effort_ -= effort;
    near.push_back(one);
  }
  const auto best = closest(word, near);
  return best ? fmt::format("Did you mean '{}'?", *best) : std::string();
}

std::vector<Diagnostic> Diagnostics::sorted() const {
  std::vector<Diagnostic> all = kept_;
  std::stable_sort(all.begin(), all.end(), [](const Diagnostic& left, const Diagnostic& right) {
    return std::tie(left.position.file, left.position.line, left.position.column) <
           std::tie(right.position.file, right.position.line, right.position.column);
  });
  return all;
}

std::string_view Diagnostics::source_line(const Position& position) const {
  const auto found = sources_.find(position.file);
  if (found == sources_.end() || position.line < 1) return {};
  const Source& source = found->second;
  const auto line = static_cast<std::size_t>(position.line);
  if (line > source.lines.size()) return {};
  const std::size_t begin = source.lines[line - 1];
  std::size_t end = line < source.lines.size() ? source.lines[line] - 1 : source.text.size();
  if (end > begin && source.text[end - 1] == '\r') --end;
  const std::string_view shown = std::string_view(source.text).substr(begin, end - begin);
  return pg::redact_password(shown) == shown ? shown : std::string_view();
}

}  // namespace weir::pipeline
