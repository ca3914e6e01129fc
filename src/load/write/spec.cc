#include "load/write/spec.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::load {
namespace {

constexpr std::array<std::pair<Mode, std::string_view>, 7> kModes{{{Mode::append, "append"},
                                                                   {Mode::upsert, "upsert"},
                                                                   {Mode::window, "window"},
                                                                   {Mode::refresh, "refresh"},
                                                                   {Mode::scd2, "scd2"},
                                                                   {Mode::swap, "swap"},
                                                                   {Mode::partition_swap, "partition-swap"}}};

}  // namespace

std::string_view to_string(Mode mode) noexcept {
  for (const auto& [known, word] : kModes) {
    if (known == mode) return word;
  }
  return "unknown";
}

std::optional<Mode> parse_mode(std::string_view word) noexcept {
  for (const auto& [mode, known] : kModes) {
    if (known == word) return mode;
  }
  return std::nullopt;
}

bool RejectLimit::allows(std::int64_t rejected, std::int64_t read) const noexcept {
  if (!share) return rejected <= rows;
  return static_cast<double>(rejected) <= *share * static_cast<double>(read);
}

std::string RejectLimit::text() const {
  if (!allows_any()) return "none may be rejected";
  return share ? fmt::format("{:g}% may be rejected", *share * 100)
               : fmt::format("{} may be rejected", human_count(rows));
}

}  // namespace weir::load
