#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "queue/claim_marks.h"
#include "queue/job_claim.h"
#include "queue/queue_counts.h"
#include "queue/queue_settings.h"
#include "queue/suspects.h"
#include "work/settling.h"
#include "work/transaction_source.h"

namespace weir::queue {

/// Jobs as a claim source: leased mode, at least once, fenced by the claim; and transactional mode. See
/// src/queue/README.md for the tables.
class JobSource final : public work::TransactionSource {
 public:
  /// `queues` by name, made where they do not exist; none means all there are, and those that come.
  JobSource(std::vector<std::string> queues, pg::Session& session);

  [[nodiscard]] std::string_view name() const noexcept override { return "jobs"; }
  [[nodiscard]] std::vector<std::string> topics() const override;
  void hear(std::string_view topic) override;
  std::shared_ptr<work::Claim> claim(pg::Session& session, const work::Life& life, std::size_t wanted,
                                     bool thorough) override;
  void resolve(pg::Session& session, const work::Life& life) override;
  [[nodiscard]] std::optional<Duration> next_look() const override;
  bool has_more(pg::Session& session) override;
  std::size_t settle(pg::Session& session, const work::Life& life, std::vector<work::Settlement>& pending,
                     bool all) override;
  void drop(const work::Settlement& settlement) noexcept override;
  std::vector<std::int64_t> cancelled(pg::Session& session, const work::Life& life) override;
  void rescue(pg::Session& session) override;
  Duration keep(pg::Session& session, const work::Life& life) override;

  bool has_more_to_take(pg::Session& session) override;
  void tell_what_is_left_out() override;

  // Transactional mode, of JobTaker.

  /// Of one slot.
  struct Turns {
    std::map<std::int32_t, ClaimMarks> marks;
    std::size_t turn = 0;
    std::int64_t taken = 0;
  };
  /// Takes jobs out of their queue within the session's transaction; null when there are none. Any thread.
  std::shared_ptr<JobClaim> take(pg::Session& session, Turns& turns, std::size_t wanted, bool thorough);
  /// Writes what is to be written of them within the same transaction. Answers whether any is to be tried
  /// again; the others have ended. Any thread.
  bool finish_taken(pg::Session& session, JobClaim& claim, const work::Settlement& all);
  /// After its transaction, where a job is to be tried again: what is due soon is looked for.
  void promote_soon() const { keep_soon(); }
  /// The queues that have a limit, by name.
  [[nodiscard]] std::set<std::string> limited() const;

  /// A rescue also counts jobs of queues that this process does not work on.
  [[nodiscard]] bool works_on(std::int32_t queue) const;
  [[nodiscard]] QueueCounts& counts() noexcept { return counts_; }
  [[nodiscard]] Suspects& suspects() noexcept { return suspects_; }

 private:
  /// There is one lane until the tables are spread over several servers.
  static constexpr std::int16_t kLane = 0;
  /// Between two looks for what is due, where nothing is known to be due sooner.
  static constexpr Duration kKeepInterval = std::chrono::seconds(5);

  using Settings = std::vector<std::shared_ptr<const QueueSettings>>;

  void reload(pg::Session& session);
  [[nodiscard]] std::shared_ptr<const Settings> settings() const;
  [[nodiscard]] std::vector<std::int32_t> ids(bool also_limited = true) const;

  template <class Look>
  std::shared_ptr<JobClaim> looking(pg::Session& session, bool thorough, Look&& look);
  bool reload_is_due();
  std::shared_ptr<JobClaim> take_any(pg::Session& session, Turns& turns, std::size_t wanted, bool thorough);
  /// Asks the queues that may have jobs, each in its turn, until one gives some.
  template <class Ask>
  std::shared_ptr<JobClaim> ask(pg::Session& session, const Settings& queues, std::size_t& turn, Ask&& ask);
  /// A queue that somebody was woken for since, if it is one of these.
  std::shared_ptr<const QueueSettings> next_heard(const Settings& queues);

  /// Queues that have jobs at all; nothing where there are so few that each is simply asked.
  using Busy = std::optional<std::set<std::int32_t>>;
  static Busy look_for_busy(pg::Session& session, const Settings& queues);
  std::shared_ptr<JobClaim> claim_any(pg::Session& session, const work::Life& life, const Settings& queues,
                                      std::size_t wanted, bool thorough);
  std::shared_ptr<JobClaim> claim_from(pg::Session& session, const work::Life& life,
                                       const std::shared_ptr<const QueueSettings>& queue, std::size_t wanted,
                                       bool thorough);

  std::size_t finish_whole(pg::Session& session, const work::Life& life,
                           std::vector<work::Settlement>& pending, const std::set<const JobClaim*>& whole);
  struct Settled {
    std::size_t refused = 0;  ///< the lease was lost
    bool again = false;       ///< some of it was to be tried again
  };
  Settled settle_parts(pg::Session& session, std::int64_t worker, JobClaim& claim,
                       const std::vector<const work::Settlement*>& parts);
  static std::size_t write(pg::Session& session, std::int64_t worker, std::int64_t claim,
                           const std::vector<std::int64_t>& seqs,
                           const std::vector<std::string_view>& actions,
                           const std::vector<std::int64_t>& delays,
                           const std::vector<std::optional<std::string_view>>& texts);
  [[nodiscard]] bool is_cancelled(std::int64_t id) const;
  void forget_cancels(const JobClaim& claim, const std::vector<const work::Settlement*>& parts);
  void be_durable(pg::Session& session, bool durable);

  void promote(pg::Session& session, Duration& next);
  static void keep_history(pg::Session& session);
  void clean_up(pg::Session& session);
  void forget(pg::Session& session);

  const std::vector<std::string> names_;
  QueueCounts counts_;
  Suspects suspects_;

  // Of the claiming thread.
  std::map<std::int32_t, ClaimMarks> marks_;
  std::size_t turn_ = 0;
  std::int64_t claims_ = 0;
  std::set<std::int32_t> withheld_;  ///< queues whose limits left jobs waiting at the last look
  std::set<std::string> left_out_;   ///< of transactional mode
  // Of the settling thread.
  int relaxed_session_ = 0;  ///< the server process that was told not to wait for the disk
  // Of the keeping thread.
  SteadyTime seldom_due_{};
  SteadyTime hourly_due_{};
  bool forgets_done_ = false;  ///< there may be history that nobody keeps
  bool forgets_dead_ = false;  ///< and dead letters

  mutable Mutex mutex_;
  std::shared_ptr<const Settings> settings_ WEIR_GUARDED_BY(mutex_);
  SteadyTime reload_due_ WEIR_GUARDED_BY(mutex_){};
  std::set<std::int64_t> cancelled_ WEIR_GUARDED_BY(mutex_);
  std::set<std::string, std::less<>> heard_ WEIR_GUARDED_BY(mutex_);  ///< topics of queues
};

}  // namespace weir::queue
