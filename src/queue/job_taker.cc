#include "queue/job_taker.h"

#include <algorithm>

#include "base/log.h"
#include "queue/taken_batch.h"

namespace weir::queue {
namespace {

constexpr Duration kTooLong = std::chrono::seconds(5);

}  // namespace

bool JobTaker::take_and_run(pg::Session& session, pg::Transaction& transaction, bool thorough,
                            const std::function<void()>& taken, const std::stop_token& stop) {
  claim_ = source_.take(session, turns_, size_.next(), thorough);
  if (!claim_) return false;
  taken();
  if (claim_->settings().relaxed) transaction.set_local("synchronous_commit", "off");
  work::Settlement all{.began = steady_now()};
  all.outcomes = run_taken(session, *handler_, *claim_, stop);
  all.ended = steady_now();
  source_.finish_taken(session, *claim_, all);
  again_ = std::any_of(all.outcomes.begin(), all.outcomes.end(),
                       [](const auto& outcome) { return !outcome.is_done(); });
  return true;
}

void JobTaker::committed(Duration took) {
  if (again_) source_.promote_soon();
  size_.took(claim_->items().size(), took);
  if (took > kTooLong) {
    log::warn("a transaction was open for long: it holds up vacuum for everybody",
              {{"queue", claim_->settings().name}, {"seconds", to_seconds(took)}});
  }
  claim_.reset();
}

}  // namespace weir::queue
