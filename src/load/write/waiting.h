#pragma once

#include <cstdint>

#include "base/clock.h"

namespace weir::pg {
class Session;
}

namespace weir::load {

/// Who waits for a session that writes. Asked just before its COMMIT: until then nobody who waits goes on,
/// but who gives up.
struct Waiting {
  static constexpr std::int64_t kNotKnown = -1;

  std::int64_t readers = 0;  ///< for a table, to read it
  Duration longest_reader{};
  std::int64_t others = 0;  ///< for a table or for rows; not those of other loads that take their turn
  Duration longest_other{};

  void add(const Waiting& more) noexcept;
};

/// What the change of the table's columns, just before, was to others: one more thing that a load has done.
struct Altered {
  Duration longest_wait{};
  Waiting waiting{};
};

/// As the server sees it now, in a transaction: what fails there costs a line of the summary (kNotKnown), not
/// the load.
Waiting look_who_waits(pg::Session& session);

}  // namespace weir::load
