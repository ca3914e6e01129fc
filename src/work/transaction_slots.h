#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "pg/connector.h"
#include "work/process.h"
#include "work/transaction_source.h"

namespace weir::work {

/// Slots of transactional mode: each has a session of its own, and one transaction takes work, does it
/// and ends it. Whatever fails or dies undoes all three, so effects in the same database happen
/// exactly once. models/lease.pml: `TransactionalHandler`.
///
/// A slot that finds nothing waits for the next round; somebody else (TransactionRuntime) decides when that
/// is.
class TransactionSlots {
 public:
  /// `patience`: RuntimeOptions. `idle` is notified when no slot has anything to do.
  TransactionSlots(const pg::Connector& connector, const Process& process, Duration patience, Wakeup& idle)
      : connector_(connector), process_(process), patience_(patience), idle_(idle) {}
  TransactionSlots(const TransactionSlots&) = delete;
  TransactionSlots& operator=(const TransactionSlots&) = delete;
  ~TransactionSlots() { join(); }

  void start(std::size_t count, const TakerFactory& factory);
  /// Makes the slots that wait look once, and answers whether any of them found something; when none waits,
  /// as soon as one does. False on stop.
  bool round(bool thorough, const std::stop_token& stop);
  [[nodiscard]] bool all_wait() const;

  /// No new transaction from now on.
  void close();
  /// Whether every slot came to its end in time.
  bool wait_ended(Deadline deadline);
  /// Requests the handlers that run to stop.
  void stop_handlers() noexcept { stop_.request_stop(); }
  void join() noexcept;

 private:
  enum class Look { found, empty };

  void work(Taker& taker, const std::stop_token& stop);
  /// Waits for the next round; false at the end.
  bool wait_for_round(bool& thorough, const std::stop_token& stop);
  /// `of_round`: the first look since the round began.
  void report(Look look, bool of_round);

  const pg::Connector& connector_;
  const Process& process_;
  const Duration patience_;
  Wakeup& idle_;
  std::vector<std::unique_ptr<Taker>> takers_;
  std::stop_source stop_;
  std::vector<std::jthread> threads_;

  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::uint64_t round_ WEIR_GUARDED_BY(mutex_) = 0;
  std::size_t waiting_ WEIR_GUARDED_BY(mutex_) = 0;  ///< slots that have nothing to do
  std::size_t ended_ WEIR_GUARDED_BY(mutex_) = 0;
  std::size_t looking_ WEIR_GUARDED_BY(mutex_) = 0;  ///< slots of this round that have not reported
  bool thorough_ WEIR_GUARDED_BY(mutex_) = false;    ///< this round, as ClaimSource::claim() means it
  bool found_ WEIR_GUARDED_BY(mutex_) = false;
  bool closed_ WEIR_GUARDED_BY(mutex_) = false;
};

}  // namespace weir::work
