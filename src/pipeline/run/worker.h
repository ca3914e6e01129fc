#pragma once

#include <memory>
#include <optional>

#include "base/deadline.h"
#include "base/mutex.h"
#include "base/service.h"
#include "base/test_signal.h"
#include "pipeline/run/alert_sender.h"
#include "pipeline/run/surroundings.h"
#include "pipeline/run/task_source.h"
#include "work/process.h"
#include "work/runtime.h"

namespace weir::pipeline {

struct WorkerOptions {
  std::size_t slots = 4;
  Duration lease = std::chrono::seconds(15);
  Duration drain = std::chrono::seconds(30);
  Duration longest_sleep = std::chrono::seconds(30);
  bool once = false;
  AlertOptions alerts{};
};

/// A process that works on pipelines: it schedules, claims and runs tasks, and sends alerts. Any number of
/// them may. start() connects and registers; stop() drains.
class Worker final : public Service {
 public:
  Worker(Surroundings surroundings, WorkerOptions options);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() override;

  [[nodiscard]] std::string_view name() const noexcept override { return "pipelines"; }
  void start() override;
  void stop() noexcept override;

  /// Waits until nothing is left (options.once), stop is requested or the deadline passes. True in the first
  /// case.
  bool wait_until_finished(const std::stop_token& stop, Deadline deadline = Deadline::never());

  struct Stats {
    std::int64_t done = 0;
    std::int64_t failed = 0;
    std::int64_t retried = 0;
    std::uint64_t refused = 0;
    std::size_t in_flight = 0;
  };
  [[nodiscard]] Stats stats() const;

  /// For tests; once it was started.
  [[nodiscard]] work::Process& process() noexcept { return *process_; }
  /// For tests: it lies down. Enabled before the start: who has nothing to do lies down once.
  [[nodiscard]] TestSignal<int>& asleep() noexcept { return asleep_; }

 private:
  const Surroundings given_;
  Surroundings surroundings_;  ///< the same for tasks: behind a pooler nothing of theirs is prepared either
  WorkerOptions options_;
  Definitions definitions_;
  TasksInFlight in_flight_;
  TestSignal<int> asleep_;
  mutable Mutex mutex_;
  std::unique_ptr<work::Process> process_;
  std::unique_ptr<AlertSender> alerts_;
  std::unique_ptr<TaskSource> source_;
  std::unique_ptr<work::Runtime> runtime_;
};

}  // namespace weir::pipeline
