#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

enum class Verdict {
  ok,
  warn,  ///< it works, with a limit or a risk
  fail,  ///< something of Weir will not work
};

constexpr std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::ok: return "ok";
    case Verdict::warn: return "warn";
    case Verdict::fail: return "fail";
  }
  return "unknown";
}

/// What one check found, and what to do about it.
struct Finding {
  std::string check;
  Verdict verdict = Verdict::ok;
  std::string message;
  std::string remedy{};
};
using Findings = std::vector<Finding>;

}  // namespace weir::cli
