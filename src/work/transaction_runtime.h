#pragma once

#include <atomic>
#include <memory>

#include "base/thread_service.h"
#include "work/bed.h"
#include "work/idle.h"
#include "work/keeper.h"
#include "work/process.h"
#include "work/runtime.h"
#include "work/transaction_slots.h"
#include "work/transaction_source.h"

namespace weir::work {

/// Transactional mode: work is taken, done and ended in one transaction (TransactionSlots). This thread
/// decides when to look, sleeps, and drains, as Runtime does for leased work. Its options mean the same.
class TransactionRuntime final : public ThreadService {
 public:
  TransactionRuntime(std::shared_ptr<const pg::Connector> connector, Process& process,
                     TransactionSource& source, TakerFactory factory, RuntimeOptions options);
  TransactionRuntime(const TransactionRuntime&) = delete;
  TransactionRuntime& operator=(const TransactionRuntime&) = delete;
  ~TransactionRuntime() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "transactional runtime"; }
  [[nodiscard]] Wakeup& finished() noexcept { return finished_; }

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  /// False when there is nothing left, with options.once.
  bool look(TransactionSlots& slots, const std::stop_token& stop);
  bool nothing_left(const std::stop_token& stop);
  void drain(TransactionSlots& slots);

  std::shared_ptr<const pg::Connector> connector_;
  Process& process_;
  TransactionSource& source_;
  TakerFactory factory_;
  RuntimeOptions options_;

  Wakeup room_;
  Wakeup finished_;
  Keeper keeper_;
  Idle idle_;
  Bed bed_;
  bool woken_ = false;  ///< and has not found what for
};

}  // namespace weir::work
