#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "exec/captured_text.h"
#include "work/line_buffer.h"

namespace weir::work {

/// Fit for a terminal, a line for each line.
std::string printable_lines(std::string_view text);

/// Passes a command's standard error on line by line, so many a second at most, and keeps its end for error
/// texts.
class StderrRelay {
 public:
  using Sink = std::function<void(std::string_view line)>;
  static constexpr double kLinesPerSecond = 100;
  static constexpr double kBurst = 200;
  static constexpr std::size_t kLongestLine = 4096;

  explicit StderrRelay(Sink sink);

  void take(std::string_view bytes, SteadyTime now);
  /// At the end: the line that has none, and how many lines were left out.
  void finish(SteadyTime now);
  /// The last lines, fit for a terminal and for PostgreSQL's text; empty when there was nothing.
  [[nodiscard]] std::string tail() const;

 private:
  void pass(std::string_view line, SteadyTime now);
  void tell_left_out();

  Sink sink_;
  LineBuffer lines_;
  exec::CapturedText tail_;
  double tokens_ = kBurst;
  SteadyTime filled_at_{};
  std::uint64_t left_out_ = 0;
};

}  // namespace weir::work
