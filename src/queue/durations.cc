#include "queue/durations.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace weir::queue {
namespace {

// Four steps to each doubling: 0, 1, 2, 3 µs have their own, then [4, 5), .. [7, 8), [8, 10), .. [14, 16), ..
constexpr unsigned kQuarters = 2;
constexpr std::uint64_t kLongest = std::uint64_t{1} << 40U;  // µs: twelve days

std::size_t step_of(Duration span) noexcept {
  const auto micros = std::max<std::int64_t>(0, span / std::chrono::microseconds(1));
  const std::uint64_t value = std::min(static_cast<std::uint64_t>(micros), kLongest);
  if (value < 4) return value;
  const auto doubling = static_cast<unsigned>(std::bit_width(value)) - 1 - kQuarters;
  return (std::size_t{doubling} << kQuarters) + (value >> doubling);
}

/// What is less than this is in the step or before it.
Duration end_of(std::size_t step) noexcept {
  const std::uint64_t next = step + 1;
  if (next < 8) return std::chrono::microseconds(next);
  const std::uint64_t doubling = (next >> kQuarters) - 1;
  return std::chrono::microseconds((4 + (next & 3U)) << doubling);
}

/// Of a step that was read: that the sum of all steps of all processes is a number.
constexpr std::int64_t kMost = std::int64_t{1} << 40;

}  // namespace

Durations::Durations(std::span<const std::int64_t> steps) {
  // The table may have been written by somebody who has other steps.
  const std::size_t known = std::min(steps.size(), step_of(Duration::max()) + 1);
  for (const std::int64_t times : steps.first(known))
    steps_.push_back(std::clamp<std::int64_t>(times, 0, kMost));
}

void Durations::add(Duration span, std::int64_t times) {
  const std::size_t step = step_of(span);
  if (step >= steps_.size()) steps_.resize(step + 1);
  steps_[step] += times;
}

void Durations::add(const Durations& more) {
  if (more.steps_.size() > steps_.size()) steps_.resize(more.steps_.size());
  for (std::size_t i = 0; i < more.steps_.size(); ++i) steps_[i] += more.steps_[i];
}

std::int64_t Durations::count() const noexcept {
  return std::accumulate(steps_.begin(), steps_.end(), std::int64_t{0});
}

Duration Durations::quantile(double share) const noexcept {
  const std::int64_t all = count();
  if (all == 0) return Duration::zero();
  const auto wanted = std::max<std::int64_t>(1, std::llround(std::ceil(share * static_cast<double>(all))));
  std::int64_t seen = 0;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    seen += steps_[step];
    if (seen >= wanted) return end_of(step);
  }
  return end_of(steps_.size() - 1);
}

}  // namespace weir::queue
