#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "pg/session.h"

namespace weir::cli {

struct PoolFact {
  std::string name;
  std::optional<int> slots;  ///< nothing: no limit
  std::int64_t taken = 0;
  std::int64_t running = 0;
  std::int64_t ready = 0;
  std::int64_t wanted = 0;  ///< slots that the ready ones take
  std::optional<Duration> waits{};
  std::int64_t users = 0;       ///< deployed tasks that name it
  std::optional<int> widest{};  ///< slots of the one that takes most
};

struct HistoryFact {
  std::string table;
  std::optional<int> days_ahead;
  std::optional<int> days_kept;
  int keep_days = 0;
  std::int64_t bytes = 0;
};

struct TableFact {
  std::string name;
  std::int64_t live = 0;
  std::int64_t dead = 0;
  std::int64_t bytes = 0;
  std::int64_t seq_scans = 0;
  std::int64_t seq_rows = 0;
  std::int64_t index_scans = 0;
  std::optional<Duration> vacuumed{};
};

struct IndexFact {
  std::string name;
  std::int64_t scans = 0;
  std::int64_t bytes = 0;
  bool is_constraint = false;
};

/// What goes on in a migrated database.
struct WorkFacts {
  // Processes
  std::int64_t living = 0;
  std::int64_t working = 0;  ///< of them, on tasks
  std::int64_t dead_with_claims = 0;
  std::int64_t dead_tasks = 0;
  std::int64_t dead_jobs = 0;
  std::optional<Duration> overdue{};  ///< the lease of the one that holds something for the longest
  // Schedules and tasks
  std::int64_t pipelines = 0;
  std::int64_t scheduled = 0;
  std::int64_t paused = 0;
  std::int64_t due = 0;
  std::optional<Duration> due_for{};
  std::int64_t untold = 0;
  // Dead letters of jobs
  /// Of each queue; more are as many.
  static constexpr std::int64_t kMostLetters = 100'000;
  std::int64_t letters = 0;
  std::int64_t letters_unbounded = 0;  ///< of them, of queues that keep them until somebody drops them
  std::optional<Duration> letters_since{};
  std::string letters_of{};  ///< the queue that has the most of those
  // Idle consumers of groups
  std::int64_t sleeping = 0;
  std::int64_t frozen = 0;           ///< of them, that have not looked for far too long
  std::optional<Duration> silent{};  ///< the one that did not for the longest
  std::optional<int> frozen_pid{};   ///< its session
  std::string frozen_at{};           ///< and its sink
  double notify_queue = 0;           ///< 1: no room, and commits that notify fail
  // Alerts
  std::int64_t alerts_waiting = 0;
  std::optional<Duration> alerts_wait{};
  std::int64_t alerts_given_up = 0;
  std::string alert_error{};

  std::vector<PoolFact> pools{};
  std::vector<HistoryFact> history{};
  std::vector<TableFact> tables{};
  std::vector<IndexFact> indexes{};
};

/// Asks a server whose schema is up to date. Nothing where the user may not read Weir's tables.
std::optional<WorkFacts> gather_work(pg::Session& session);

}  // namespace weir::cli
