#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>

#include "queue/job_source.h"
#include "queue/suspects.h"
#include "work/run_watch.h"
#include "work/take_size.h"
#include "work/transaction_source.h"

namespace weir::queue {

/// Jobs of transactional mode, for one slot. After a session was lost in the midst of them as many jobs are
/// taken one by one as there were, so that it is seen with which one it is lost again (Suspects).
class JobTaker final : public work::Taker {
 public:
  JobTaker(JobSource& source, std::unique_ptr<work::Handler> handler, std::size_t most)
      : source_(source), handler_(std::move(handler)), size_(most) {}

  void connected(pg::Session& session, std::int64_t life) override;
  bool take_and_run(pg::Session& session, pg::Transaction& transaction, bool thorough,
                    const std::function<void()>& taken, const std::stop_token& stop) override;
  void committed(Duration took) override;

 private:
  /// What became of the jobs at hand.
  enum class End {
    run,
    charged,      ///< the only one is guilty or overdue, and was not begun
    handed_back,  ///< a suspect among others: it is to be taken alone
  };
  /// Of a session with a single job.
  struct Loss {
    std::int64_t job = 0;
    std::string sqlstate;
  };

  std::vector<work::Outcome> run_unless_guilty(pg::Session& session, const std::stop_token& stop);
  std::vector<work::Outcome> run_claim(pg::Session& session, const std::stop_token& stop);
  void note_loss(const pg::Session& session, const pg::Error& error);
  /// In whichever thread: RunWatch's `given_up`.
  void note_ran_over(std::span<const work::Item> items);
  void tell_suspects();

  JobSource& source_;
  const std::unique_ptr<work::Handler> handler_;
  JobSource::Turns turns_;
  work::TakeSize size_;
  std::size_t one_by_one_ = 0;  ///< so many jobs
  SessionOrigin origin_;
  std::optional<Loss> lost_;
  // Of the transaction at hand.
  std::shared_ptr<JobClaim> claim_;
  End end_ = End::run;
  bool again_ = false;  ///< some of it is to be tried again
};

}  // namespace weir::queue
