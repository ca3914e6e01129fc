#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "load/write/apply.h"

namespace weir::load {

/// Time, and WAL that the server wrote, since it was made.
class ApplyMeter {
 public:
  /// Outside of a transaction: a role that may not look would end it.
  explicit ApplyMeter(pg::Session& session);

  [[nodiscard]] Duration took() const { return std::chrono::steady_clock::now() - began_; }
  /// Fills in `took` and, where the role may look and the session is open, `wal_bytes`.
  void read(pg::Session& session, Applied& applied) const;

 private:
  SteadyTime began_ = std::chrono::steady_clock::now();
  std::optional<std::int64_t> wal_;
};

}  // namespace weir::load
