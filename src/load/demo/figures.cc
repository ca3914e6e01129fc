#include "load/demo/figures.h"

#include <algorithm>

namespace weir::load::demo {

void ReadRecord::add(Duration began, Duration took, Seen seen, bool waited) {
  count(seen);
  if (waited) ++figures_.waited;
  figures_.longest = std::max(figures_.longest, took);
  draw(began, took);
  samples_.push_back(took);
  for (Duration left = took - every_; left > every_; left -= every_) samples_.push_back(left);
}

void ReadRecord::add_untimed(Seen seen) { count(seen); }

ReadFigures ReadRecord::figures() const {
  ReadFigures figures = figures_;
  if (samples_.empty()) return figures;
  std::vector<Duration> sorted = samples_;
  const auto place = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) * 99 / 100);
  std::nth_element(sorted.begin(), place, sorted.end());
  figures.p99 = *place;
  return figures;
}

void ReadRecord::count(Seen seen) {
  ++figures_.reads;
  if (seen == Seen::empty) ++figures_.empty;
  if (seen == Seen::mixed) ++figures_.mixed;
}

void ReadRecord::draw(Duration began, Duration took) {
  const auto slot_of = [](Duration at) { return static_cast<std::size_t>(at / ReadFigures::kSlot); };
  const std::size_t last = slot_of(began + took);
  if (figures_.timeline.size() <= last) figures_.timeline.resize(last + 1);
  for (std::size_t slot = slot_of(began); slot <= last; ++slot) {
    const Duration since = ReadFigures::kSlot * static_cast<std::int64_t>(slot);
    Duration& highest = figures_.timeline[slot];
    highest = std::max(highest, took - std::max(since - began, Duration::zero()));
  }
}

}  // namespace weir::load::demo
