#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <weir/new_job.h>

#include "base/clock.h"

// The fields of a NewJob as queries take them.

namespace weir::queue {

constexpr std::string_view to_string(IfExists choice) noexcept {
  switch (choice) {
    case IfExists::ignore: return "ignore";
    case IfExists::replace: return "replace";
    case IfExists::reschedule: return "reschedule";
  }
  return "ignore";
}

inline std::optional<WallTime> wall(const std::optional<NewJob::Time>& time) noexcept {
  if (!time) return std::nullopt;
  return std::chrono::floor<std::chrono::microseconds>(*time);
}

inline std::optional<std::int64_t> count(const std::optional<NewJob::Span>& span) noexcept {
  if (!span) return std::nullopt;
  return std::int64_t{span->count()};
}

inline std::optional<std::string_view> view(const std::optional<std::string>& text) noexcept {
  if (!text) return std::nullopt;
  return std::string_view(*text);
}

}  // namespace weir::queue
