#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace weir::stream {

/// The time that one partition of a stream covers: [from, to), a whole number of spans since 1970.
struct Span {
  WallTime from{};
  WallTime to{};

  friend auto operator<=>(const Span&, const Span&) = default;
};

Span span_at(WallTime time, Duration length);

/// What is to be made so that the present span and `ahead` more are there. Others than ours may be among
/// `present`, of any length: nothing overlaps them. Pure.
std::vector<Span> missing_spans(const std::vector<Span>& present, WallTime now, Duration length, int ahead);

/// "events_20261121", with the time where a span is shorter than a day; a table's name has 63 bytes, so that
/// a long one is cut and gets a number that tells it from its like.
std::string partition_name(const std::string& table, const Span& span);
std::string partition_name(const std::string& table, const std::string& suffix);

/// "1d", "6h", "30m": what may be the length of a span, a minute to a year. Throws Error that says so.
Duration parse_span(std::string_view text);

}  // namespace weir::stream
