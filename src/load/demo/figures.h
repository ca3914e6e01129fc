#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace weir::load::demo {

/// What readers met.
struct ReadFigures {
  /// Of a timeline's places.
  static constexpr Duration kSlot = std::chrono::milliseconds(100);

  std::int64_t reads = 0;
  std::int64_t waited = 0;  ///< that pg_locks had waiting for a lock
  std::int64_t empty = 0;   ///< that found no rows
  std::int64_t mixed = 0;   ///< that found some rows only, or rows of two generations
  Duration longest{};
  Duration p99{};
  /// For each slot from the beginning on how long it took who began to read then; zero where nobody did.
  std::vector<Duration> timeline{};
};

/// Collects the figures. A dashboard that waits does not begin the reads that it would have begun meanwhile;
/// they count as if it had, each with what was left of the wait. Otherwise one read of 2 s among 99 quick
/// ones would be all that is seen of 2 s without an answer.
class ReadRecord {
 public:
  /// `every`: how often a dashboard reads.
  explicit ReadRecord(Duration every) : every_(every) {}

  enum class Seen : std::uint8_t { whole, empty, mixed };
  /// `began`: since the beginning of the record.
  void add(Duration began, Duration took, Seen seen, bool waited);
  /// For the picture alone: a read that has not ended yet.
  void add_pending(Duration began, Duration so_far) { draw(began, so_far); }
  /// A read that is slow by itself: what it saw counts, its time does not.
  void add_untimed(Seen seen);

  [[nodiscard]] ReadFigures figures() const;

 private:
  void count(Seen seen);
  void draw(Duration began, Duration took);

  Duration every_;
  ReadFigures figures_;
  std::vector<Duration> samples_;
};

}  // namespace weir::load::demo
