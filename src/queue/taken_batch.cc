#include "queue/taken_batch.h"

#include <algorithm>
#include <utility>

#include "work/transaction_parts.h"

namespace weir::queue {
namespace {

using work::Outcome;

/// Of large payloads at a time, save one that is larger by itself.
constexpr std::size_t kMostLoaded = std::size_t{16} << 20U;
/// The server counts milliseconds of a timeout in 31 bits.
constexpr Duration kLongestRun = std::chrono::hours(24 * 20);

}  // namespace

std::vector<Outcome> run_taken(pg::Session& session, work::Handler& handler, JobClaim& claim,
                               const std::stop_token& stop,
                               std::function<void(std::span<const work::Item>)> given_up) {
  const auto items = claim.items();
  std::optional<Duration> timeout = claim.timeout();
  if (timeout) timeout = std::min(*timeout, kLongestRun);
  work::TransactionParts parts(session, handler, stop,
                               {.stores_results = claim.settings().keeps_history,
                                .blames_widely = true,
                                .timeout = timeout,
                                .given_up = std::move(given_up)});
  std::vector<Outcome> outcomes(items.size(), Outcome::returned());
  const auto wall = std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now());
  const auto late = [&](std::size_t i) { return items[i].deadline && *items[i].deadline <= wall; };
  for (std::size_t begin = 0; begin < items.size();) {
    if (late(begin)) {
      outcomes[begin++] = Outcome::discarded("its deadline passed before it was begun");
      continue;
    }
    std::size_t end = begin;
    for (std::size_t loaded = 0; end < items.size() && !late(end) && loaded < kMostLoaded; ++end) {
      if (!claim.is_heavy(end)) continue;
      claim.load(end, session);
      loaded += items[end].payload.size();
    }
    auto some = parts.run(items.subspan(begin, end - begin));
    std::move(some.begin(), some.end(), outcomes.begin() + static_cast<std::ptrdiff_t>(begin));
    for (; begin < end; ++begin) claim.unload(begin);
  }
  return outcomes;
}

}  // namespace weir::queue
