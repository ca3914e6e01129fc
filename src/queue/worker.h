#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/service.h"
#include "base/test_signal.h"
#include "queue/job_source.h"
#include "work/runtime.h"
#include "work/transaction_runtime.h"

namespace weir::queue {

enum class Delivery {
  leased,         ///< at least once; the handler's effects may be anywhere
  transactional,  ///< exactly once, for effects that the handler writes with the session it is given
};

struct WorkerOptions {
  std::vector<std::string> queues;  ///< none: all
  std::size_t slots = 4;
  Duration lease = std::chrono::seconds(15);
  Duration drain = std::chrono::seconds(30);
  Duration longest_sleep = std::chrono::seconds(30);
  bool once = false;
  std::size_t most_in_batch = 1000;  ///< jobs that a handler gets at once
  Delivery delivery = Delivery::leased;
  Duration patience = std::chrono::hours(24);  ///< work::RuntimeOptions
};

/// A process that works on jobs, leased: at least once, and what comes after a lost lease is refused. start()
/// connects and registers; stop() drains.
class Worker final : public Service {
 public:
  Worker(std::shared_ptr<const pg::Connector> connector, work::HandlerFactory factory, WorkerOptions options);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() override;

  [[nodiscard]] std::string_view name() const noexcept override { return "worker"; }
  void start() override;
  void stop() noexcept override;

  /// Waits until nothing is left (options.once), stop is requested or the deadline passes. True in the first
  /// case.
  bool wait_until_finished(const std::stop_token& stop, Deadline deadline = Deadline::never());

  struct Stats {
    std::int64_t done = 0;
    std::int64_t failed = 0;
    std::int64_t dead = 0;
    std::uint64_t refused = 0;
    std::size_t in_flight = 0;
  };
  [[nodiscard]] Stats stats() const;

  /// For tests; once it was started.
  [[nodiscard]] work::Process& process() noexcept { return *process_; }
  /// For tests: it lies down. Enabled before the start: who has nothing to do lies down once.
  [[nodiscard]] TestSignal<int>& asleep() noexcept { return asleep_; }

 private:
  /// The last figures: the keeper has ended, and what it did not report would be lost.
  void report_counts() noexcept;
  [[nodiscard]] Service* runtime() const noexcept;
  [[nodiscard]] Wakeup& finished() noexcept;

  std::shared_ptr<const pg::Connector> connector_;
  work::HandlerFactory factory_;
  WorkerOptions options_;
  std::shared_ptr<const pg::Connector> work_connector_;  ///< as connector_for_work() made it
  std::unique_ptr<work::Process> process_;
  TestSignal<int> asleep_;
  mutable Mutex mutex_;
  std::unique_ptr<JobSource> source_;
  std::unique_ptr<work::Runtime> leased_;
  std::unique_ptr<work::TransactionRuntime> transactional_;
};

}  // namespace weir::queue
