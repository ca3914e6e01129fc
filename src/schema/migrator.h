#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "pg/limit.h"
#include "schema/migration.h"

namespace weir::schema {

/// What happens during migrate(), for whoever shows it.
struct MigrationEvent {
  enum class Kind {
    waiting,   ///< another migrator is at work; we try again after `span`
    retrying,  ///< rolled back for a lock or a conflict with another session; again after `span`
    applied,   ///< committed; the script ran for `span`
  };
  Kind kind = Kind::applied;
  int number = 0;  ///< 0 for the step behind the last migration, which makes roles and grants
  std::string name{};
  int attempt = 1;
  Duration span{};
};

struct MigrateOptions {
  /// For all of it: waiting for other migrators, for locks, and the scripts themselves. No attempt begins
  /// after the deadline; a statement that still runs then gets a few seconds more.
  pg::Limit limit{};
  /// How long a statement of a migration may stand in the queue of a lock, because everybody else's
  /// statements queue up behind it. Then it steps back and tries again.
  Duration lock_timeout = std::chrono::seconds(2);
  BackoffPolicy backoff{
      .base = std::chrono::milliseconds(100), .cap = std::chrono::seconds(5), .jitter = 0.5};
  /// Another list than the binary's for tests; it begins with the binary's.
  std::span<const Migration> known = known_migrations();
  std::function<void(const MigrationEvent&)> on_event{};
};

struct MigrationReport {
  struct Applied {
    int number = 0;
    std::string name{};
    Duration took{};
  };
  std::vector<Applied> applied;      ///< by this call; others may have applied the rest at the same time
  int version = 0;                   ///< the schema's number now
  std::vector<std::string> notices;  ///< what an administrator should know or do, a paragraph each
};

/// Brings the schema up to this binary: each migration in a transaction of its own, recorded in the same one,
/// one migrator at a time. After a failure, a kill, or an InDoubt, whole migrations are applied and others
/// not at all, and running it again goes on from there. Takes over the session's timeout and stop, so give it
/// its own session.
///
/// Throws weir::Error with the remedy: a schema that is newer or was tampered with (refused), missing rights,
/// locks that were not to be had until the deadline (it names their holders). Errors of pg pass through.
MigrationReport migrate(pg::Session& session, const MigrateOptions& options = {});

}  // namespace weir::schema
