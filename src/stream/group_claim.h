#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "stream/chunk_events.h"
#include "stream/lane.h"
#include "work/claim_source.h"

namespace weir::stream {

/// What of a lane a process has at hand.
struct LaneAtHand {
  Lane lane;
  std::vector<LaneUnit> units;  ///< one for each part of the claim
  bool ends = false;            ///< behind them there was nothing
};

/// Chunks, or letters, or what is next in a lane, that a process has under its lease: their events as items.
class GroupClaim final : public work::Claim {
 public:
  explicit GroupClaim(std::int64_t number) : number_(number) {}

  void add(std::unique_ptr<ChunkEvents> events, GroupWork work);
  /// Only so many of them; the rest is left for another time.
  void cut_off(std::size_t items);

  [[nodiscard]] std::span<const work::Item> items() const noexcept override { return items_; }
  [[nodiscard]] bool in_order() const noexcept override { return lane.has_value(); }
  [[nodiscard]] bool is_heavy(std::size_t index) const noexcept override;
  void load(std::size_t index, pg::Session& session) override;
  void unload(std::size_t index) noexcept override;

  [[nodiscard]] std::int64_t number() const noexcept { return number_; }

  struct Part {
    std::unique_ptr<ChunkEvents> events;
    GroupWork work;
    std::size_t begin = 0;  ///< of items()
  };
  [[nodiscard]] const std::vector<Part>& parts() const noexcept { return parts_; }

  /// The number of its chunk, if all of its events were handed back.
  [[nodiscard]] std::optional<std::int64_t> untouched_chunk(const Part& part) const noexcept;

  std::optional<LaneAtHand> lane;  ///< before it is handed out

  // Of GroupSource::settle() alone: outcomes are kept until all are there, because a chunk is done as a
  // whole.
  std::vector<work::Outcome> outcomes;
  std::size_t settled = 0;

 private:
  [[nodiscard]] const Part& part_of(std::size_t index) const noexcept;

  std::int64_t number_;
  std::vector<Part> parts_;
  std::vector<work::Item> items_;
};

}  // namespace weir::stream
