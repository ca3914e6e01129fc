#include "stream/group_claim.h"

#include <algorithm>
#include <iterator>

namespace weir::stream {

void GroupClaim::add(std::unique_ptr<ChunkEvents> events, GroupWork work) {
  const auto items = events->items();
  parts_.push_back({std::move(events), std::move(work), items_.size()});
  items_.insert(items_.end(), items.begin(), items.end());
  outcomes.resize(items_.size());
}

void GroupClaim::cut_off(std::size_t items) {
  items_.resize(items);
  outcomes.resize(items);
}

const GroupClaim::Part& GroupClaim::part_of(std::size_t index) const noexcept {
  const auto after = std::upper_bound(parts_.begin(), parts_.end(), index,
                                      [](std::size_t i, const Part& part) { return i < part.begin; });
  return *std::prev(after);
}

std::optional<std::int64_t> GroupClaim::untouched_chunk(const Part& part) const noexcept {
  const auto* chunk = std::get_if<Chunk>(&part.work.events);
  if (chunk == nullptr || part.events->items().empty()) return std::nullopt;
  const auto first = outcomes.begin() + static_cast<std::ptrdiff_t>(part.begin);
  const bool all = std::all_of(
      first, first + static_cast<std::ptrdiff_t>(part.events->items().size()),
      [](const work::Outcome& outcome) { return outcome.kind() == work::Outcome::Kind::returned; });
  return all ? std::optional(chunk->number) : std::nullopt;
}

bool GroupClaim::is_heavy(std::size_t index) const noexcept {
  const Part& part = part_of(index);
  return part.events->is_heavy(index - part.begin);
}

void GroupClaim::load(std::size_t index, pg::Session& session) {
  const Part& part = part_of(index);
  part.events->load(index - part.begin, session);
  items_[index].payload = part.events->items()[index - part.begin].payload;
}

void GroupClaim::unload(std::size_t index) noexcept {
  const Part& part = part_of(index);
  if (!part.events->is_heavy(index - part.begin)) return;
  items_[index].payload = {};
  part.events->unload(index - part.begin);
}

}  // namespace weir::stream
