#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pg/conninfo.h"

namespace weir::pipeline {

/// What became of the state of tasks that several scheduler loops moved at a time.
struct StateFigures {
  std::string way;
  std::int64_t tasks = 0;
  std::int64_t done = 0;
  std::int64_t double_starts = 0;  ///< starts beyond the first of their task
  std::int64_t lost_updates = 0;   ///< ends that were written and that nobody can read any more
  std::int64_t runs = 0;
  std::int64_t wrong_runs = 0;  ///< whose count of ended tasks is not that of its tasks
  Duration span{};
};

/// One look for work, with so much history in the database.
struct LookFigures {
  std::string way;
  std::int64_t history = 0;  ///< tasks that have ended
  std::int64_t pages = 0;    ///< that PostgreSQL went through
  Duration took{};           ///< the median of some looks
};

/// Tasks that have a connection while they run.
struct ConnectionFigures {
  std::string way;
  std::int64_t tasks = 0;
  std::int64_t done = 0;
  std::int64_t gave_up = 0;  ///< found no connection in time
  std::int64_t waited = 0;   ///< had not begun 100 ms after somebody was free to run them
  Duration longest_wait{};
  std::int64_t idle_in_transaction = 0;  ///< sessions, at most at a time
  std::int64_t connections = 0;          ///< at most at a time
  std::int64_t budget = 0;               ///< what they may be at most
  Duration span{};
};

struct SchedulerFigures {
  std::vector<StateFigures> states{};
  std::vector<LookFigures> looks{};
  std::vector<ConnectionFigures> connections{};
};

struct SchedulerDemoOptions {
  int tasks = 600;         ///< whose state is moved; rounded up to whole runs of 30
  int loops = 4;           ///< schedulers at a time
  int history = 300'000;   ///< tasks that have ended, in the end
  std::uint64_t seed = 1;  ///< of how long tasks hold their connections
  int working = 48;        ///< tasks that need one
  double slowness = 1;     ///< of them: 1 is 0.15 to 0.45 s
  std::function<void(std::string_view)> on_step = [](std::string_view) {};
  /// Several times a second: the figures so far, the last of which go on.
  std::function<void(const SchedulerFigures&)> on_frame = [](const SchedulerFigures&) {};
  std::stop_token stop{};
};

/// Three diseases of schedulers that keep their state in PostgreSQL, each with real SQL on real tables, and
/// Weir with the same tasks: state that is read and then written, a look for work that reads history, and a
/// pool of connections that transactions sit in. Makes a database of its own, and drops it whatever happens.
SchedulerFigures run_scheduler_demo(const pg::Conninfo& server, const SchedulerDemoOptions& options);

}  // namespace weir::pipeline
