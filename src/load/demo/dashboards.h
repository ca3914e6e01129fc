#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/wait.h"
#include "load/demo/figures.h"
#include "load/demo/scenery.h"

namespace weir::load::demo {

/// Readers of the table, from the beginning of the scope to its end: in turn one that reads statement by
/// statement (READ COMMITTED), one that reads in a REPEATABLE READ transaction, and one that uses PREPARE and
/// EXECUTE; and a report that is slow, when somebody opens it. Somebody else looks at pg_locks all the time.
class Dashboards {
 public:
  struct Options {
    int count = 6;
    Duration every = std::chrono::milliseconds(25);
    Duration slow = std::chrono::seconds(2);
  };
  Dashboards(const Scenery& scenery, const Options& options);
  ~Dashboards();
  Dashboards(const Dashboards&) = delete;
  Dashboards& operator=(const Dashboards&) = delete;

  /// Answers when the report has begun to read, and so holds its lock on the table; at once where it still is
  /// at it.
  void open_report();

  /// As it is now. Throws what a dashboard failed of.
  [[nodiscard]] ReadFigures look();
  [[nodiscard]] SteadyTime began() const noexcept { return began_; }
  /// Ends the reads; then the figures are those of all of them.
  void close();

 private:
  enum class Kind : std::uint8_t { read_committed, repeatable_read, prepared };
  struct Dashboard {
    Kind kind = Kind::read_committed;
    std::atomic<int> pid{0};
    std::atomic<SteadyTime::rep> reading_since{0};  ///< 0: it does not read
    std::atomic<bool> met_lock{false};
  };

  void read_on(Dashboard& dashboard);
  void report_on();
  void watch_locks();
  /// Until something changes, or this ends.
  void sleep(MutexLock& lock);
  void pause(Wakeup& wakeup) const;
  template <class Action>
  void guarded(Action action);
  template <class Action>
  void timed(Dashboard& dashboard, Action action);

  const Scenery& scenery_;
  Options options_;
  SteadyTime began_;
  std::stop_source closing_;
  std::vector<std::unique_ptr<Dashboard>> dashboards_;
  std::atomic<int> report_pid_{0};

  Mutex mutex_;
  std::condition_variable_any changed_;
  ReadRecord record_ WEIR_GUARDED_BY(mutex_);
  int connected_ WEIR_GUARDED_BY(mutex_) = 0;
  bool report_wanted_ WEIR_GUARDED_BY(mutex_) = false;
  bool report_reads_ WEIR_GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ WEIR_GUARDED_BY(mutex_);

  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
  std::vector<std::jthread> threads_;
};

}  // namespace weir::load::demo
