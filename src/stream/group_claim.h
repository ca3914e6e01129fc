#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "stream/chunk_events.h"
#include "work/claim_source.h"

namespace weir::stream {

/// Chunks, or letters, that a process has under its lease: their events as items.
class GroupClaim final : public work::Claim {
 public:
  explicit GroupClaim(std::int64_t number) : number_(number) {}

  void add(std::unique_ptr<ChunkEvents> events, GroupWork work);

  [[nodiscard]] std::span<const work::Item> items() const noexcept override { return items_; }
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
