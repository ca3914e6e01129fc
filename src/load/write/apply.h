#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "load/write/plan.h"
#include "load/write/stage.h"
#include "load/write/state.h"
#include "load/write/waiting.h"
#include "pg/session.h"

namespace weir::load {

struct ApplyOptions;

/// What an apply transaction has done.
struct Applied {
  std::int64_t inserted = 0;
  std::int64_t updated = 0;
  std::int64_t deleted = 0;
  std::int64_t unchanged = 0;
  std::int64_t closed = 0;      ///< versions of a history that ended
  std::int64_t duplicates = 0;  ///< records of the source with a key that came again
  std::int64_t rejected = 0;
  std::int64_t withheld_deletes = 0;         ///< old rows that stay because of rejects
  std::int64_t rows_before = 0;              ///< of the table, or the window
  std::optional<std::int64_t> wal_bytes{};   ///< written by the server meanwhile, where the role may look
  LockMode strongest_lock = LockMode::none;  ///< on the target, as pg_locks had it before the commit
  /// Of this load, in all attempts: for a lock that was asked for by name, or until a lock_timeout. How long
  /// a statement waited for rows that it got in time nobody tells.
  Duration longest_wait{};
  Waiting waiting{};  ///< for this load
  std::int64_t dead_rows = 0;
  int attempts = 1;
  Duration took{};            ///< of the attempt that succeeded
  bool was_in_doubt = false;  ///< the answer to COMMIT was lost; another session found the run applied

  /// What it begins with: what was done to the table for the same load.
  static Applied behind(const ApplyOptions& options);
  /// For the history; `losses` is an object whose keys come behind.
  [[nodiscard]] std::string to_json(std::string_view losses = "{}") const;
};

/// The table that was looked at is not the one of that name any more, and nothing was written: another load
/// may have swapped it. The same stage may fit into the one that is there now.
class TargetMoved final : public Error {
  using Error::Error;
};

struct ApplyEvent {
  enum class Kind : std::uint8_t { waiting, locked, checked, diffed, writing, retrying, in_doubt };
  Kind kind = Kind::locked;
  std::string text{};  ///< of `waiting`: what for; of `retrying`: why; of `writing`: which step
  Duration delay{};    ///< of `retrying`
};

struct ApplyOptions {
  Duration lock_timeout = std::chrono::seconds(2);  ///< for rows and the table
  Duration target_wait = std::chrono::minutes(10);  ///< for another load of the same target
  Duration statement_timeout{};                     ///< 0: none
  Duration swap_lock_timeout = std::chrono::milliseconds(50);
  int attempts = 10;  ///< of a deadlock, a serialization failure, a lock
  int swap_attempts = 100;
  std::string losses = "{}";         ///< JSON: what was not kept of values, for the history
  std::string work_mem{};            ///< "64MB"; empty: as it is
  std::optional<Altered> altered{};  ///< counts as the load's
  Duration waited{};                 ///< for another load, before it comes to this; counts as the load's
  std::stop_token stop{};
  std::function<void(const ApplyEvent&)> on_event{};
  /// Called in the transaction that changes the target, when all is written: what it does there commits with
  /// the rows, and what it throws undoes them. Once for each attempt.
  std::function<void(pg::Session&)> before_commit{};
};

/// From the sealed stage into the target, in one short transaction, repeated where the server says that it
/// may succeed next time. `connect` makes sessions of role load, id the run (Connector::connect).
///
/// Throws refused when a guard rail stops it (nothing was written), the rejects exceed the limit, or the
/// state's seq has moved on. InDoubt is resolved here: whoever gets an error knows that nothing was
/// committed, unless it is an InDoubt itself, because no session could be had to look.
Applied apply(const std::function<pg::Session()>& connect, const Target& target, const LoadSpec& spec,
              const Stage::Sealed& stage, const std::optional<StateChange>& state,
              const ApplyOptions& options);

}  // namespace weir::load
