#include "stream/partition_plan.h"

#include <algorithm>
#include <chrono>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"

namespace weir::stream {
namespace {

constexpr Duration kShortest = std::chrono::minutes(1);
constexpr Duration kLongest = std::chrono::hours(24 * 366);
/// PostgreSQL cuts longer names off.
constexpr std::size_t kLongestName = 63;

}  // namespace

Span span_at(WallTime time, Duration length) {
  const auto since = std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch());
  const auto span = std::chrono::duration_cast<std::chrono::microseconds>(length);
  auto number = since / span;
  if (since < number * span) --number;  // before 1970
  return {WallTime(number * span), WallTime((number + 1) * span)};
}

std::vector<Span> missing_spans(const std::vector<Span>& present, WallTime now, Duration length, int ahead) {
  const auto span = std::chrono::duration_cast<std::chrono::microseconds>(length);
  std::vector<Span> missing;
  for (int i = 0; i <= ahead; ++i) {
    const Span wanted = span_at(now + i * span, length);
    // Around what is there already: a partition that somebody made for another time is kept.
    WallTime from = wanted.from;
    std::vector<Span> taken;
    std::copy_if(present.begin(), present.end(), std::back_inserter(taken),
                 [&](const Span& other) { return other.from < wanted.to && wanted.from < other.to; });
    std::sort(taken.begin(), taken.end());
    for (const Span& other : taken) {
      if (from < other.from) missing.push_back({from, other.from});
      from = std::max(from, other.to);
    }
    if (from < wanted.to) missing.push_back({from, wanted.to});
  }
  return missing;
}

std::string partition_name(const std::string& table, const Span& span) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(span.from);
  const bool midnight = seconds == std::chrono::floor<std::chrono::days>(span.from) &&
                        span.to == std::chrono::floor<std::chrono::days>(span.to);
  const std::string suffix =
      midnight ? fmt::format("_{:%Y%m%d}", seconds) : fmt::format("_{:%Y%m%d_%H%M%S}", seconds);
  return partition_name(table, suffix);
}

std::string partition_name(const std::string& table, const std::string& suffix) {
  if (table.size() + suffix.size() <= kLongestName) return table + suffix;
  const std::string told = fmt::format("_{:08x}", static_cast<std::uint32_t>(fnv1a(table))) + suffix;
  std::size_t kept = kLongestName - told.size();
  while (kept > 0 && (static_cast<unsigned char>(table[kept]) & 0xC0U) == 0x80U) --kept;  // whole characters
  return table.substr(0, kept) + told;
}

Duration parse_span(std::string_view text) {
  const auto span = parse_duration(text);
  if (!span || *span < kShortest || *span > kLongest || *span % std::chrono::seconds(1) != Duration::zero()) {
    throw Error(ExitCode::usage, fmt::format("'{}' is no time that a partition can cover", printable(text)),
                "Write a minute to a year, such as 1d, 6h or 30m.");
  }
  return *span;
}

}  // namespace weir::stream
