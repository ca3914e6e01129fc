#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>

#include "base/thread_service.h"
#include "queue/transaction_slots.h"
#include "work/bed.h"
#include "work/idle.h"
#include "work/keeper.h"
#include "work/process.h"
#include "work/runtime.h"

namespace weir::queue {

/// Transactional mode: jobs are taken, run and ended in one transaction (TransactionSlots). This thread
/// decides when to look, sleeps, and drains, as work::Runtime does for leased work. Its options mean the
/// same.
class TransactionRuntime final : public ThreadService {
 public:
  TransactionRuntime(std::shared_ptr<const pg::Connector> connector, work::Process& process,
                     JobSource& source, work::HandlerFactory factory, work::RuntimeOptions options);
  TransactionRuntime(const TransactionRuntime&) = delete;
  TransactionRuntime& operator=(const TransactionRuntime&) = delete;
  ~TransactionRuntime() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "transactional runtime"; }
  [[nodiscard]] Wakeup& finished() noexcept { return finished_; }

  /// For tests: as Runtime::asleep.
  TestSignal<int> asleep;

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  /// False when there is nothing left, with options.once.
  bool look(TransactionSlots& slots, const std::stop_token& stop);
  /// Whether somebody woke us.
  bool listen();
  bool nothing_left(const std::stop_token& stop);
  /// A limit may be set, or taken off, while we work.
  void tell_of_limits();
  void drain(TransactionSlots& slots);

  std::shared_ptr<const pg::Connector> connector_;
  work::Process& process_;
  JobSource& source_;
  work::HandlerFactory factory_;
  work::RuntimeOptions options_;

  Wakeup room_;
  Wakeup finished_;
  work::Keeper keeper_;
  work::Idle idle_;
  work::Bed bed_;
  bool woken_ = false;  ///< and has not found what for
  std::set<std::string> left_out_;
};

}  // namespace weir::queue
