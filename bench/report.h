#pragma once

#include <optional>
#include <string>
#include <vector>

namespace weir::bench {

/// One figure. Where there is a target it is compared with `ratio`, which is taken inside one run against the
/// same work by the best other tool; seconds of two machines or two days are never compared.
struct Measurement {
  std::string name;
  double value = 0;
  std::string unit;
  std::optional<double> ratio{};
  std::optional<double> target{};
  bool higher_is_better = true;
  std::string against{};  ///< what the ratio's other side is

  [[nodiscard]] bool on_target() const noexcept {
    if (!target) return true;
    const double got = ratio.value_or(value);
    return higher_is_better ? got >= *target : got <= *target;
  }
};

struct Report {
  std::string command;  ///< repeats the run
  std::string server;   ///< its version
  std::vector<Measurement> results;

  [[nodiscard]] std::string to_json() const;
  [[nodiscard]] std::string to_markdown() const;
};

}  // namespace weir::bench
