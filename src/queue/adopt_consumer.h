#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stop_token>

#include "base/mutex.h"
#include "base/test_signal.h"
#include "queue/adopt_worker.h"

namespace weir::queue {

struct AdoptFigures {
  std::uint64_t batches = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;    ///< attempts that failed and are repeated
  std::uint64_t given_up = 0;  ///< rows
  std::uint64_t undone = 0;    ///< batches lost with their session or in a conflict
  std::uint64_t waiting = 0;   ///< rows that failed and wait for their next attempt
  Duration elapsed{};
};

struct AdoptConsumerOptions {
  int workers = 1;
  bool once = false;
  Duration poll = std::chrono::seconds(5);
  Duration drain = std::chrono::seconds(30);
  AdoptBatchOptions batch{};
  AdoptRetries::Options retries{};
  /// Called in the thread that runs the consumer, about twice a second.
  std::function<void(const AdoptFigures&)> on_progress{};
};

/// Consumes an adopted table with several workers, each with its session and its handler. Any number of
/// consumers may work on one table, in one process or in many.
class AdoptConsumer {
 public:
  AdoptConsumer(std::shared_ptr<const pg::Connector> connector, const Adopted& adopted,
                work::HandlerFactory handlers, AdoptConsumerOptions options);

  /// Returns when nothing is left (once), or after a stop: batches are finished within the drain time, then
  /// broken off, which undoes them. Throws the first failure that is not worth repeating, when all have
  /// ended.
  AdoptFigures run(const std::stop_token& stop);

  /// Whether run() ended because nothing was left.
  [[nodiscard]] bool finished() const noexcept { return finished_; }
  /// For tests: a worker sleeps until it is notified.
  TestSignal<int> sleeps;

 private:
  void start_waker();
  void work(int number) noexcept;
  void watch(const std::stop_token& stop);
  [[nodiscard]] AdoptFigures figures() const;

  AdoptShared shared_;
  const work::HandlerFactory handlers_;
  const AdoptConsumerOptions options_;
  std::unique_ptr<AdoptWaker> waker_;
  std::stop_source soft_;
  std::stop_source hard_;
  SteadyTime begin_{};
  bool finished_ = false;

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  int running_ WEIR_GUARDED_BY(mutex_) = 0;
  AdoptFigures figures_ WEIR_GUARDED_BY(mutex_);
  std::exception_ptr failure_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::queue
