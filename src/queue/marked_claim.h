#pragma once

#include <memory>
#include <utility>

#include "queue/claim_marks.h"
#include "queue/job_claim.h"

namespace weir::queue {

/// Claims from the mark and, where that gives nothing, from the head; keeps the marks. `from_mark(range)` and
/// `from_head()` run the query; `number` is that of the claim.
template <class FromMark, class FromHead>
std::shared_ptr<JobClaim> claim_with_marks(ClaimMarks& marks, std::size_t wanted, std::int64_t number,
                                           const std::shared_ptr<const QueueSettings>& queue,
                                           FromMark&& from_mark, FromHead&& from_head) {
  const SteadyTime began = std::chrono::steady_clock::now();
  const auto keep = [&](const std::optional<ClaimMarks::Range>& range,
                        auto rows) -> std::shared_ptr<JobClaim> {
    const SteadyTime ended = std::chrono::steady_clock::now();
    const auto found = static_cast<std::size_t>(rows.size());
    std::shared_ptr<JobClaim> claim;
    ClaimMarks::Range first;
    if (found > 0) {
      claim = std::make_shared<JobClaim>(number, std::move(rows), queue);
      first = {claim->first().priority, claim->first().seq - 1};
    }
    marks.claimed(range, found, wanted, first, began, ended);
    return claim;
  };
  if (const auto range = marks.next(began)) {
    if (auto claim = keep(range, from_mark(*range))) return claim;
  }
  return keep(std::nullopt, from_head());
}

}  // namespace weir::queue
