#include "stream/chunk.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace weir::stream {
namespace {

void count_in(Chunk& chunk, std::int64_t events, WallTime first_at, WallTime last_at) {
  chunk.first_at = chunk.events == 0 ? first_at : std::min(chunk.first_at, first_at);
  chunk.last_at = chunk.events == 0 ? last_at : std::max(chunk.last_at, last_at);
  chunk.events += events;
}

class ChunkPlanner {
 public:
  ChunkPlanner(const Ended& ended, std::int64_t size, const CutUp& cut_up)
      : ended_(ended), size_(size), cut_up_(cut_up) {
    at_hand_.from = ended.from;
  }

  void add_late(const Written& one) {
    if (is_large(one)) return add_slices(one);
    at_hand_.late.push_back(one.xid);
    count_in(at_hand_, one.events, one.first_at, one.last_at);
    if (at_hand_.events >= size_) close(ended_.from);
  }
  void add(const Written& one) {
    if (is_large(one)) {
      close(one.xid);
      add_slices(one);
      at_hand_.from = one.xid + 1;
      return;
    }
    count_in(at_hand_, one.events, one.first_at, one.last_at);
    if (at_hand_.events >= size_) close(one.xid + 1);
  }
  std::vector<Chunk> finish() {
    close(ended_.to);
    return std::move(chunks_);
  }

 private:
  [[nodiscard]] bool is_large(const Written& one) const noexcept { return one.events / 2 > size_; }

  /// The chunk at hand ends before `end`; without events there is none, and the next one begins where it did.
  void close(Xid end) {
    if (at_hand_.events == 0) return;
    at_hand_.to = end;
    std::copy_if(ended_.open.begin(), ended_.open.end(), std::back_inserter(at_hand_.open),
                 [&](Xid xid) { return xid >= at_hand_.from && xid < end; });
    chunks_.push_back(std::move(at_hand_));
    at_hand_ = {};
    at_hand_.from = end;
  }
  void add_slices(const Written& large) {
    std::int64_t after = std::numeric_limits<std::int64_t>::min();
    for (const Piece& piece : cut_up_(large)) {
      Chunk chunk;
      chunk.from = large.xid;
      chunk.to = large.xid + 1;
      chunk.slice = {after, piece.last};
      count_in(chunk, piece.events, piece.first_at, piece.last_at);
      chunks_.push_back(std::move(chunk));
      after = piece.last;
    }
  }

  const Ended& ended_;
  const std::int64_t size_;
  const CutUp& cut_up_;
  std::vector<Chunk> chunks_;
  Chunk at_hand_;
};

}  // namespace

std::vector<Chunk> plan_chunks(const Ended& ended, const std::vector<Written>& late,
                               const std::vector<Written>& written, std::int64_t size, const CutUp& cut_up) {
  ChunkPlanner planner(ended, size, cut_up);
  for (const Written& one : late) planner.add_late(one);
  for (const Written& one : written) planner.add(one);
  return planner.finish();
}

std::optional<Chunk> joined(const Chunk& first, const Chunk& second) {
  const bool both_slices =
      first.slice && second.slice && first.from == second.from && first.slice->last == second.slice->after;
  const bool neighbours = !first.slice && !second.slice && first.to == second.from;
  if (!both_slices && !neighbours) return std::nullopt;
  Chunk both = first;
  both.to = second.to;
  both.open.insert(both.open.end(), second.open.begin(), second.open.end());
  both.late.insert(both.late.end(), second.late.begin(), second.late.end());
  if (both_slices) both.slice->last = second.slice->last;
  count_in(both, second.events, second.first_at, second.last_at);
  return both;
}

}  // namespace weir::stream
