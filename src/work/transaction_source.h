#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>

#include "pg/transaction.h"
#include "work/claim_source.h"

namespace weir::work {

/// Takes work and does it, for one slot of transactional mode. Used by one thread.
class Taker {
 public:
  Taker() = default;
  Taker(const Taker&) = delete;
  Taker& operator=(const Taker&) = delete;
  virtual ~Taker() = default;

  /// Of a new session, before its first transaction; `life` is the process's present one (work::Life). When
  /// it throws the session is of no use.
  virtual void connected(pg::Session& /*session*/, std::int64_t /*life*/) {}
  /// Within `transaction`, which the caller commits: takes work, calls `taken`, does it and writes what
  /// became of it. False when there was none. Throws when all of it has to be undone. After `stop` it hands
  /// back what is not done.
  virtual bool take_and_run(pg::Session& session, pg::Transaction& transaction, bool thorough,
                            const std::function<void()>& taken, const std::stop_token& stop) = 0;
  /// After the commit; how long all of it took.
  virtual void committed(Duration took) = 0;
};

/// A kind of work that can be taken, done and ended in one transaction, besides being claimed: then effects
/// in the same database happen exactly once.
class TransactionSource : public ClaimSource {
 public:
  /// As has_more(), of what takers are given. Any thread.
  virtual bool has_more_to_take(pg::Session& session) = 0;
  /// Called now and then by the thread that looks for work: what users should know of work that takers leave
  /// alone.
  virtual void tell_what_is_left_out() {}
};

/// One for each slot; called before the slots begin.
using TakerFactory = std::function<std::unique_ptr<Taker>()>;

}  // namespace weir::work
