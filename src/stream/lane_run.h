#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pg/session.h"
#include "stream/failures.h"
#include "stream/lane.h"
#include "stream/stream_sql.h"
#include "work/outcome.h"

namespace weir::stream {

/// What becomes of a lane's events, told in their order: those that are done, or dead, it has passed; at the
/// first one that is to be tried again it stays, and nothing behind that one counts. Written in the
/// transaction that ends the work.
class LaneRun {
 public:
  LaneRun(const GroupDefinition& group, const Lane& lane)
      : group_(group), lane_(lane), position_(lane.position), dead_letters_(group) {}

  /// Of the next event. False: the lane stays before it.
  bool settle(const Place& place, const work::Outcome& outcome);
  /// So many events, the rest of the unit, are done.
  void all_done(std::int64_t events) noexcept { done_ += events; }
  /// The events that were settled are those of this unit: all there were, unless the lane stays or is `cut`
  /// off. False when it goes no further.
  bool end_unit(pg::Session& session, const StreamSql& sql, const LaneUnit& unit, const GroupWork& work,
                bool cut = false);
  /// There were no more chunks: it has passed whatever there was.
  void reached(std::int64_t chunk) noexcept;
  /// Writes how far it has come, and lets go of the lane.
  void write(pg::Session& session) const;

  /// It went through chunks that had nothing for it.
  [[nodiscard]] bool only_passed() const noexcept {
    return !stays_ && done_ == 0 && dead_letters_.dead() == 0;
  }
  [[nodiscard]] std::int64_t done() const noexcept { return done_; }
  [[nodiscard]] std::int64_t dead() const noexcept { return static_cast<std::int64_t>(dead_letters_.dead()); }
  [[nodiscard]] std::int64_t again() const noexcept { return failed_ ? 1 : 0; }

 private:
  /// Of the event that it stays at.
  struct Failed {
    int attempts;
    Duration delay;
    std::string error;
  };

  const GroupDefinition& group_;
  const Lane& lane_;
  LanePosition position_;
  Failures dead_letters_;
  std::optional<Place> last_{};  ///< that was settled, of the unit at hand
  std::optional<std::int64_t> stays_at_{};
  std::optional<Failed> failed_{};
  bool stays_ = false;
  bool moved_ = false;
  std::int64_t done_ = 0;
};

}  // namespace weir::stream
