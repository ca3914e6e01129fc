#include "load/demo_readers.h"

#include <algorithm>
#include <exception>
#include <thread>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mutex.h"
#include "base/text.h"
#include "base/wait.h"
#include "load/demo/dashboards.h"
#include "load/demo/replacing.h"
#include "load/demo/scenery.h"

namespace weir::load {
namespace {

using demo::Dashboards;
using demo::Replacement;
using demo::Replacing;
using demo::Scenery;

constexpr Duration kFrameEvery = std::chrono::milliseconds(200);

/// One way: a thread that replaces the table, beside this one, which shows it.
class Show {
 public:
  Show(const Scenery& scenery, const ReadersDemoOptions& options, std::unique_ptr<Replacing> replacing)
      : options_(options),
        replacing_(std::move(replacing)),
        dashboards_(scenery, {.count = options.dashboards, .slow = options.slow}) {
    way_.name = replacing_->name();
  }

  /// `before` are the ways that were shown before.
  ReadersDemoWay run(std::span<const ReadersDemoWay> before) {
    std::vector<ReadersDemoWay> frame(before.begin(), before.end());
    frame.emplace_back();
    {
      const std::jthread writer([this](const std::stop_token& stop) { replace_on(stop); });
      Wakeup wakeup;
      while (!done()) {
        frame.back() = look();
        options_.on_frame(frame);
        wait_fd(-1, 0, Deadline::after(kFrameEvery), options_.stop, wakeup);
        if (options_.stop.stop_requested()) break;
      }
    }
    dashboards_.close();
    ReadersDemoWay way = look();
    if (way.replacements > 0) {
      way.wal_bytes /= way.replacements;
      way.rows_written /= way.replacements;
    }
    return way;
  }

 private:
  void replace_on(const std::stop_token& stop) {
    try {
      const Deadline end = Deadline::after(options_.each);
      Wakeup wakeup;
      bytes_before_ = replacing_->table_bytes();
      for (std::int64_t generation = 1;; ++generation) {
        const WaitEnd waited = wait_fd(-1, 0, Deadline::after(options_.pause), stop, wakeup);
        if (waited == WaitEnd::stopped || (end.expired() && generation > 1)) break;
        // Somebody opens the report just before every second one: the story of this demo.
        if (generation % 2 == 1) dashboards_.open_report();
        replace(generation);
      }
    } catch (...) {
      const MutexLock lock(mutex_);
      failure_ = std::current_exception();
    }
    const MutexLock lock(mutex_);
    done_ = true;
  }

  void replace(std::int64_t generation) {
    const Duration began = std::chrono::steady_clock::now() - dashboards_.began();
    {
      const MutexLock lock(mutex_);
      way_.spans.emplace_back(began, Duration::zero());
    }
    const Replacement done = replacing_->replace(generation);
    const Duration ended = std::chrono::steady_clock::now() - dashboards_.began();
    const std::int64_t bytes = replacing_->table_bytes();
    {
      const MutexLock lock(mutex_);
      way_.spans.back().second = ended;
      ++way_.replacements;
      way_.replacement = std::max(way_.replacement, ended - began);
      way_.wal_bytes += done.wal_bytes;
      way_.rows_written += done.rows_written;
      way_.growth_bytes = bytes - bytes_before_;
      way_.strongest_lock = done.strongest_lock;
    }
  }

  bool done() {
    const MutexLock lock(mutex_);
    return done_;
  }

  ReadersDemoWay look() {
    demo::ReadFigures reads = dashboards_.look();
    const MutexLock lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
    ReadersDemoWay way = way_;
    way.reads = std::move(reads);
    way.lasted = std::chrono::steady_clock::now() - dashboards_.began();
    return way;
  }

  const ReadersDemoOptions& options_;
  std::unique_ptr<Replacing> replacing_;
  std::int64_t bytes_before_ = 0;  ///< of the writer
  Dashboards dashboards_;
  Mutex mutex_;
  ReadersDemoWay way_ WEIR_GUARDED_BY(mutex_);
  bool done_ WEIR_GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ WEIR_GUARDED_BY(mutex_);
};

std::vector<ReadersDemoWay> show_all(const std::shared_ptr<const pg::Connector>& connector,
                                     const ReadersDemoOptions& options) {
  options.on_step("making schema weir_demo");
  Scenery scenery(connector, options.rows, options.stop);
  std::vector<ReadersDemoWay> ways;
  for (const auto make : {demo::by_truncate, demo::by_delete, demo::by_refresh}) {
    if (ways.empty())
      options.on_step(fmt::format("filling a table with {} rows", human_count(scenery.rows())));
    scenery.fill();
    Show show(scenery, options, make(scenery));
    ways.push_back(show.run(ways));
    if (options.stop.stop_requested()) break;
    options.on_frame(ways);
  }
  return ways;
}

}  // namespace

std::vector<ReadersDemoWay> run_readers_demo(const std::shared_ptr<const pg::Connector>& connector,
                                             const ReadersDemoOptions& options) {
  try {
    std::vector<ReadersDemoWay> ways = show_all(connector, options);
    if (!options.stop.stop_requested()) return ways;
  } catch (const Error&) {
    // A session that is stopped may end as one that was lost.
    if (!options.stop.stop_requested()) throw;
  }
  throw Error(ExitCode::interrupted, "the demo was interrupted");
}

}  // namespace weir::load
