#include "stream/unreadable.h"

#include <algorithm>
#include <array>

namespace weir::stream {
namespace {

/// One that was not claimed again for so long is somebody else's, or gone.
constexpr Duration kForget = std::chrono::minutes(10);

}  // namespace

Unreadable::Unreadable(Duration patience)
    : patience_(patience), try_again_{.base = patience / 300, .cap = patience / 5} {}

bool Unreadable::is_own_fault(const pg::Session& session, const pg::Error& error) noexcept {
  // Data, limits such as that of a value's length, corruption. As in weir.scatter_stream_work().
  constexpr std::array<std::string_view, 3> kClasses{"22", "54", "XX"};
  if (!session.is_open() || error.kind() != pg::ErrorKind::server) return false;
  const std::string_view state = error.sqlstate();
  return std::find(kClasses.begin(), kClasses.end(), state.substr(0, 2)) != kClasses.end();
}

bool Unreadable::failed(std::int64_t chunk, SteadyTime now) {
  const auto known = chunks_.find(chunk);
  if (known == chunks_.end() && chunks_.size() >= kMost) return false;
  Chunk& noted = chunks_[chunk];
  if (noted.times++ == 0) noted.since = now;
  noted.again_at = now + backoff_delay(try_again_, noted.times, random_unit());
  return true;
}

std::vector<std::int64_t> Unreadable::passed_over(SteadyTime now) {
  std::vector<std::int64_t> chunks;
  for (auto it = chunks_.begin(); it != chunks_.end();) {
    if (now - it->second.again_at > kForget) {
      it = chunks_.erase(it);
      continue;
    }
    if (it->second.again_at > now) chunks.push_back(it->first);
    ++it;
  }
  return chunks;
}

std::optional<std::int64_t> Unreadable::given_up(SteadyTime now) {
  for (auto& [number, chunk] : chunks_) {
    if (!is_hopeless(chunk, now)) continue;
    // From the beginning.
    chunk = {.times = 0, .since = now, .again_at = now + try_again_.cap};
    return number;
  }
  return std::nullopt;
}

std::optional<Duration> Unreadable::next_try(SteadyTime now) const {
  std::optional<Duration> next;
  for (const auto& [number, chunk] : chunks_) {
    const Duration wait = std::max(chunk.again_at - now, Duration::zero());
    next = std::min(next.value_or(wait), wait);
  }
  return next;
}

}  // namespace weir::stream
