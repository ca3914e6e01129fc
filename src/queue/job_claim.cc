#include "queue/job_claim.h"

#include <algorithm>
#include <numeric>

namespace weir::queue {

void JobClaim::sort() {
  const auto sooner = [](const Job& a, const Job& b) {
    return std::pair(a.priority, a.seq) < std::pair(b.priority, b.seq);
  };
  if (std::is_sorted(jobs_.begin(), jobs_.end(), sooner)) return;
  std::vector<std::size_t> order(jobs_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return sooner(jobs_[a], jobs_[b]); });
  std::vector<work::Item> items;
  std::vector<Job> jobs;
  for (const std::size_t i : order) {
    items.push_back(items_[i]);
    jobs.push_back(jobs_[i]);
  }
  items_ = std::move(items);
  jobs_ = std::move(jobs);
}

std::optional<Duration> JobClaim::waited(std::size_t index, SteadyTime began) const {
  const work::Item& item = items_[index];
  if (!item.created_at || item.id != jobs_[index].seq) return std::nullopt;
  return std::max<Duration>(Duration::zero(), asked_at_ - *item.created_at + (began - asked_));
}

void JobClaim::load(std::size_t index, pg::Session& session) {
  const auto answer = session.run<sql::JobPayload>(items_[index].id);
  // A job whose payload is gone can only be given up; the handler is told what there is.
  payloads_[index] = answer.empty() ? "null" : std::string(answer[0].payload.text);
  items_[index].payload = payloads_[index];
}

void JobClaim::unload(std::size_t index) noexcept {
  if (!is_heavy(index)) return;
  items_[index].payload = {};
  payloads_[index] = {};
}

}  // namespace weir::queue
