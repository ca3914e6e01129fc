#pragma once

#include <string>
#include <string_view>

#include "pipeline/define/diagnostics.h"
#include "pipeline/define/yaml/node.h"

namespace weir::pipeline {

/// One file while it is read: what is said of it gets its place.
class Reading {
 public:
  Reading(Diagnostics& diagnostics, std::string file, std::string_view source)
      : diagnostics_(diagnostics), file_(std::move(file)), source_(source) {}

  [[nodiscard]] Position at(yaml::Place place) const { return {file_, place.line, place.column}; }
  [[nodiscard]] Position at(const yaml::Node& node) const { return at(node.place); }
  /// Where the `nth` occurrence of `part` stands in a scalar.
  [[nodiscard]] Position within(const yaml::Node& node, std::string_view part, std::size_t nth = 0) const;

  void error(const yaml::Node& node, std::string message, std::string remedy = {}) {
    diagnostics_.error(at(node), std::move(message), std::move(remedy));
  }
  /// The same at a place that was worked out.
  void error(Position position, std::string message, std::string remedy = {}) {
    diagnostics_.error(std::move(position), std::move(message), std::move(remedy));
  }
  /// "Did you mean 'x'?", else `otherwise`.
  std::string suggest(std::string_view word, std::span<const std::string_view> known,
                      std::string otherwise = {});

  [[nodiscard]] Diagnostics& diagnostics() const noexcept { return diagnostics_; }
  [[nodiscard]] const std::string& file() const noexcept { return file_; }
  /// The folder that the file is in; empty for the project itself.
  [[nodiscard]] std::string folder() const;
  [[nodiscard]] std::string_view source() const noexcept { return source_; }

 private:
  Diagnostics& diagnostics_;
  std::string file_;
  std::string_view source_;
};

/// Printable and short, for messages: '..'.
std::string in_quotes(std::string_view text);

}  // namespace weir::pipeline
