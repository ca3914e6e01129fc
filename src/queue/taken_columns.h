#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pg/value.h"
#include "queue/job_claim.h"

namespace weir::queue {

/// The jobs of a claim as the columns of one statement.
struct TakenColumns {
  explicit TakenColumns(const JobClaim& claim) {
    for (std::size_t i = 0; i < claim.items().size(); ++i) {
      const work::Item& item = claim.items()[i];
      const JobClaim::Job& job = claim.jobs()[i];
      seqs.push_back(job.seq);
      ids.push_back(item.id);
      priorities.push_back(job.priority);
      attempts.push_back(static_cast<std::int16_t>(item.attempt));
      max_attempts.push_back(static_cast<std::int16_t>(item.max_attempts));
      created_at.push_back(item.created_at.value_or(WallTime()));
      deadlines.push_back(item.deadline);
      kinds.push_back(item.kind);
      payloads.push_back(job.is_large ? std::nullopt : std::optional(pg::JsonView{item.payload}));
      unique_keys.push_back(job.unique_key);
      limit_keys.push_back(job.limit_key);
      errors.push_back(item.error.empty() ? std::nullopt : std::optional(item.error));
    }
  }

  std::vector<std::int64_t> seqs;
  std::vector<std::int64_t> ids;
  std::vector<std::int16_t> priorities;
  std::vector<std::int16_t> attempts;
  std::vector<std::int16_t> max_attempts;
  std::vector<WallTime> created_at;
  std::vector<std::optional<WallTime>> deadlines;
  std::vector<std::string_view> kinds;
  std::vector<std::optional<pg::JsonView>> payloads;
  std::vector<std::optional<std::string_view>> unique_keys;
  std::vector<std::optional<std::string_view>> limit_keys;
  std::vector<std::optional<std::string_view>> errors;
};

}  // namespace weir::queue
