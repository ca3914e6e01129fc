#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/define/position.h"

namespace weir::pipeline {

struct Diagnostic {
  enum class Severity : std::uint8_t { error, warning };
  Severity severity = Severity::error;
  Position position;  ///< line 0: the file as a whole; an empty file: the project
  std::string message;
  std::string remedy{};
};

/// What is wrong with a project: all of it, so that nobody has to mend and try again for each. Never holds
/// what
/// ${env:..} or ${file:..} stand for, because nothing here resolves them.
class Diagnostics {
 public:
  /// More are counted, not kept.
  static constexpr std::size_t kKept = 500;

  void error(Position position, std::string message, std::string remedy = {});
  void warning(Position position, std::string message, std::string remedy = {});
  /// Lets the text of a file be shown beside what is said of it.
  void add_source(const std::string& file, std::string text);

  /// "Did you mean 'x'?", or nothing. Bounded in work, however many words and mistakes there are.
  std::string suggest(std::string_view word, std::span<const std::string_view> known);

  [[nodiscard]] bool ok() const noexcept { return errors_ == 0; }
  [[nodiscard]] std::size_t errors() const noexcept { return errors_; }
  [[nodiscard]] std::size_t warnings() const noexcept { return warnings_; }
  /// By file and place.
  [[nodiscard]] std::vector<Diagnostic> sorted() const;
  /// The line that it is about, without its end; empty where there is none to show, also because a password
  /// is in it.
  [[nodiscard]] std::string_view source_line(const Position& position) const;

 private:
  struct Source {
    std::string text;
    std::vector<std::size_t> lines;  // where each begins
  };

  void add(Diagnostic::Severity severity, Position position, std::string message, std::string remedy);

  std::vector<Diagnostic> kept_;
  std::map<std::string, Source, std::less<>> sources_;
  std::size_t errors_ = 0;
  std::size_t warnings_ = 0;
  std::size_t effort_ = 20'000'000;  // of edit distances
};

/// `file:line:column: error: message`, the line of the source with a caret, and the remedy.
std::string to_text(const Diagnostics& diagnostics);
/// The same as [{"severity", "file", "line", "column", "message", "remedy", "source"}].
nlohmann::ordered_json to_json(const Diagnostics& diagnostics);

}  // namespace weir::pipeline
