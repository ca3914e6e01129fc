#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::stream {

/// The number of a transaction, 64 bits wide, so that it never wraps around. An event carries that of the
/// transaction which wrote it.
using Xid = std::int64_t;

/// Which transactions had ended at an instant, as pg_current_snapshot() tells it: all below `end`, but for
/// `open`. What they wrote is seen by whoever looks later, or never by anybody. Ids of events cannot tell
/// that: they are given out before the commit, and a reader that goes on from the last id loses what commits
/// late.
struct Horizon {
  Xid end = 0;
  std::vector<Xid> open;  ///< ascending, below `end`

  friend bool operator==(const Horizon&, const Horizon&) = default;
};

/// "10:20:10,14" as PostgreSQL writes a pg_snapshot. Throws Error when it is none.
Horizon parse_horizon(std::string_view snapshot);

/// What ended between two horizons: [from, to) but for `open`, and `late`, which began before the first.
struct Ended {
  Xid from = 0;
  Xid to = 0;
  std::vector<Xid> open;  ///< ascending, of [from, to)
  std::vector<Xid> late;  ///< ascending, below `from`

  [[nodiscard]] bool none() const noexcept { return from >= to && late.empty(); }
};

/// Throws Error when `now` is before `before`: these are horizons of two servers.
Ended ended_between(const Horizon& before, const Horizon& now);

/// The horizon of which exactly what `now` says is known below `end`, and nothing from there on: for whoever
/// goes on from `end` later. What was open at `now` stays open.
Horizon cut_off(const Horizon& now, Xid end);

}  // namespace weir::stream
