#pragma once

#include <map>

#include "queue/job_source.h"
#include "work/take_size.h"
#include "work/transaction_source.h"

namespace weir::queue {

/// Jobs of transactional mode, for one slot.
class JobTaker final : public work::Taker {
 public:
  JobTaker(JobSource& source, std::unique_ptr<work::Handler> handler, std::size_t most)
      : source_(source), handler_(std::move(handler)), size_(most) {}

  bool take_and_run(pg::Session& session, pg::Transaction& transaction, bool thorough,
                    const std::function<void()>& taken, const std::stop_token& stop) override;
  void committed(Duration took) override;

 private:
  JobSource& source_;
  const std::unique_ptr<work::Handler> handler_;
  JobSource::Turns turns_;
  work::TakeSize size_;
  // Of the transaction at hand.
  std::shared_ptr<JobClaim> claim_;
  bool again_ = false;  ///< some of it is to be tried again
};

}  // namespace weir::queue
