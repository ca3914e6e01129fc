#pragma once

#include <memory>
#include <utility>

#include "queue/claim_marks.h"
#include "queue/job_claim.h"

namespace weir::queue {

/// Claims from the marks and, where that is not enough, from the head; keeps the marks. `from(range)` runs
/// the query; `number` is that of the claim. `thorough`: answers null only if nothing waits at all.
template <class From>
std::shared_ptr<JobClaim> claim_with_marks(ClaimMarks& marks, std::size_t wanted, bool thorough,
                                           std::int64_t number,
                                           const std::shared_ptr<const QueueSettings>& queue, From&& from) {
  const auto keep = [&](SteadyTime asked, auto rows) -> std::shared_ptr<JobClaim> {
    if (rows.empty()) return nullptr;
    const bool all_wanted = static_cast<std::size_t>(rows.size()) == wanted;
    auto claim = std::make_shared<JobClaim>(number, asked, std::move(rows), queue);
    const auto jobs = claim->jobs();  // in order of priority, seq
    for (std::size_t first = 0; first < jobs.size();) {
      std::size_t last = first;
      while (last + 1 < jobs.size() && jobs[last + 1].priority == jobs[first].priority) ++last;
      marks.found(jobs[first].priority, jobs[first].seq, jobs[last].seq,
                  all_wanted && last + 1 == jobs.size());
      first = last + 1;
    }
    return claim;
  };
  const auto look_at_head = [&] {
    const SteadyTime began = std::chrono::steady_clock::now();
    auto rows = from(ClaimMarks::whole());
    marks.head_claimed(began, std::chrono::steady_clock::now());
    return keep(began, std::move(rows));
  };
  const bool head_first = marks.head_is_due(std::chrono::steady_clock::now());
  if (head_first) return look_at_head();
  for (const ClaimMarks::Range& range : marks.marks()) {
    const SteadyTime asked = std::chrono::steady_clock::now();
    if (auto claim = keep(asked, from(range))) return claim;
  }
  return thorough || marks.head_is_cheap() ? look_at_head() : nullptr;
}

}  // namespace weir::queue
