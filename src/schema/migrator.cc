#include "schema/migrator.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "base/wait.h"
#include "pg/transaction.h"
#include "schema/lock_holders.h"
#include "schema/queries/migrations.h"
#include "schema/queries/roles.h"
#include "schema/rights.h"
#include "schema/roles.h"

namespace weir::schema {
namespace {

/// One for all versions of Weir. Advisory locks belong to a database, so other databases migrate at the same
/// time.
constexpr auto kLockKey = static_cast<std::int64_t>(fnv1a("weir.schema_migration"));
/// A statement that the deadline overtakes may still end by itself, so that the failure is told by its reason
/// (a lock that was not free) and not by a lost connection.
constexpr Duration kGrace = std::chrono::seconds(5);
constexpr std::string_view kInsufficientPrivilege = "42501";
/// The migration that makes weir.apply_grants().
constexpr int kGrantsSince = 2;

enum class Obstacle { other_migrator, lock, conflict };

/// What is being done, for events and messages.
struct Step {
  int number = 0;
  std::string name{};
  [[nodiscard]] std::string label() const {
    return number == 0 ? "the step for roles and grants" : fmt::format("migration {:03}_{}", number, name);
  }
};

class Migrator {
 public:
  Migrator(pg::Session& session, const MigrateOptions& options)
      : session_(session), options_(options), started_(std::chrono::steady_clock::now()) {
    session_.set_stop(options.limit.stop);
  }

  MigrationReport run() {
    arm_session();
    rights_ = migration_rights(session_);
    MigrationPlan now = sound_plan();
    if (!now.up_to_date()) require_rights();
    // The rights were read first: a schema that another migrator commits in between has its record, too.
    if (now.applied == 0 && !rights_.schema_is_empty) refuse_foreign_schema();
    try {
      while (!now.up_to_date()) {
        apply_next({now.applied + 1, name_of(now.applied + 1)});
        now = sound_plan();
      }
      report_.version = now.applied;
      make_roles_in_turn();
    } catch (const pg::Error& error) {
      if (error.sqlstate() != kInsufficientPrivilege) throw;
      explain_denial(error);
    }
    return std::move(report_);
  }

 private:
  MigrationPlan sound_plan() {
    MigrationPlan now = plan(session_, options_.known);
    if (const std::optional<Error> refusal = now.refusal()) throw Error(*refusal);
    return now;
  }

  std::string name_of(int number) const {
    return std::string(options_.known[static_cast<std::size_t>(number) - 1].name);
  }

  void require_rights() const {
    if (const std::optional<Error> missing = rights_.missing()) throw Error(*missing);
  }

  [[noreturn]] void refuse_foreign_schema() const {
    throw Error(ExitCode::refused,
                fmt::format("database {} has a schema named weir that Weir did not make", rights_.database),
                "Rename it (ALTER SCHEMA weir RENAME TO ..), or use another database.");
  }

  void apply_next(const Step& step) {
    std::optional<MigrationReport::Applied> applied;
    in_turn(step, [&] {
      // Another migrator may have been faster: only what is read under the lock counts.
      if (sound_plan().applied + 1 != step.number) return;
      become_schema_owner();
      const Migration& migration = options_.known[static_cast<std::size_t>(step.number) - 1];
      const SteadyTime begin = std::chrono::steady_clock::now();
      session_.execute_script(migration.sql);
      // In the script's own transaction: nobody ever sees a function that PUBLIC may execute.
      if (step.number >= kGrantsSince) session_.run<sql::ApplyGrants>();
      const Duration took = std::chrono::steady_clock::now() - begin;
      session_.run<sql::RecordMigration>(migration.number, migration.name, migration.checksum,
                                         std::chrono::ceil<std::chrono::milliseconds>(took).count());
      applied = {migration.number, step.name, took};
    });
    if (!applied) return;
    tell({MigrationEvent::Kind::applied, step.number, step.name, 1, applied->took});
    report_.applied.push_back(std::move(*applied));
  }

  /// Also when nothing was pending: roles may have been made or lost since.
  void make_roles_in_turn() {
    rights_ = migration_rights(session_);
    if (!rights_.is_schema_owner) return;
    in_turn({}, [&] {
      report_.notices = role_notices(make_roles(session_), rights_.user);
      become_schema_owner();
      session_.run<sql::ApplyGrants>();
    });
  }

  /// Until the end of the transaction. What a superuser or a member of the owner's role makes would be theirs
  /// otherwise, and the owner could neither change nor grant it; and scripts get no more rights than they
  /// need.
  void become_schema_owner() {
    rights_ = migration_rights(session_);
    if (!rights_.schema_owner || *rights_.schema_owner == rights_.user) return;
    session_.execute("SET LOCAL ROLE " + *rights_.schema_owner);  // it comes quoted
  }

  /// Runs `body` in a transaction that holds the migrators' lock, again and again until it commits.
  template <class Body>
  void in_turn(const Step& step, Body body) {
    for (int attempt = 1;; ++attempt) {
      arm_session();
      Obstacle obstacle = Obstacle::other_migrator;
      try {
        pg::Transaction transaction(session_);
        set_limits(transaction);
        if (lock_granted()) {
          body();
          transaction.commit();
          return;
        }
        transaction.rollback();
      } catch (const pg::LockTimeout&) {
        obstacle = Obstacle::lock;
      } catch (const pg::Retryable&) {
        obstacle = Obstacle::conflict;
      }
      pause(step, attempt, obstacle);
    }
  }

  bool lock_granted() {
    const auto answer = session_.run<sql::TryMigrationLock>(kLockKey);
    return answer.one().granted;
  }

  /// The scripts meet the same settings in every database.
  void set_limits(pg::Transaction& transaction) const {
    // Nothing of a user's schema may be taken for PostgreSQL's own.
    transaction.set_local("search_path", "pg_catalog, pg_temp");
    const Duration lock_wait = std::clamp(options_.lock_timeout, Duration(std::chrono::milliseconds(1)),
                                          std::max(remaining(), Duration(std::chrono::milliseconds(1))));
    transaction.set_local("lock_timeout", millis(lock_wait));
    // Our deadline ends it; the user's default is meant for queries.
    transaction.set_local("statement_timeout", "0");
    if (session_.server_version() >= 170000) transaction.set_local("transaction_timeout", "0");
    transaction.set_local("standard_conforming_strings", "on");
    transaction.set_local("client_min_messages", "warning");
  }

  static std::string millis(Duration span) {
    return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(span).count()) + "ms";
  }

  [[nodiscard]] Duration remaining() const {
    const Deadline& deadline = options_.limit.deadline;
    return deadline.is_never() ? Duration::max() : deadline.at() - std::chrono::steady_clock::now();
  }

  void arm_session() {
    const Duration left = std::max(remaining(), Duration::zero());
    session_.set_timeout(left > Duration::max() - kGrace ? left : left + kGrace);
  }

  void pause(const Step& step, int attempt, Obstacle obstacle) {
    const Duration delay = backoff_delay(options_.backoff, attempt, random_unit());
    if (remaining() <= delay) give_up(step, attempt, obstacle);
    const auto kind =
        obstacle == Obstacle::other_migrator ? MigrationEvent::Kind::waiting : MigrationEvent::Kind::retrying;
    tell({kind, step.number, step.name, attempt, delay});
    Wakeup wakeup;
    if (wait_fd(-1, 0, Deadline::after(delay), options_.limit.stop, wakeup) == WaitEnd::stopped) {
      pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped while waiting for " + step.label()});
    }
  }

  [[noreturn]] void give_up(const Step& step, int attempts, Obstacle obstacle) {
    const std::string waited = human_duration(std::chrono::steady_clock::now() - started_);
    const std::string what =
        obstacle == Obstacle::other_migrator ? "another migrator is at work on this database"
        : obstacle == Obstacle::lock         ? "a lock it needs was not free"
                                             : "transactions of others conflicted with it each time";
    std::string message =
        fmt::format("{} was not applied: {} ({} tried for {})", step.label(), what,
                    attempts == 1 ? std::string("once") : fmt::format("{} times", attempts), waited);
    std::string remedy = "Run it again when the database is less busy.";
    const std::vector<LockHolder> holders = find_holders(obstacle);
    if (!holders.empty()) {
      std::string pids;
      for (const LockHolder& holder : holders) {
        message += fmt::format("{} {}", pids.empty() ? "; in the way:" : ";", holder.description);
        pids += fmt::format(" SELECT pg_terminate_backend({});", holder.pid);
      }
      remedy = "Wait until they have finished, or end them:" + pids + " Then run it again.";
    }
    throw Error(ExitCode::database, message, remedy);
  }

  std::vector<LockHolder> find_holders(Obstacle obstacle) {
    arm_session();
    try {
      return obstacle == Obstacle::other_migrator ? find_migrators(session_, kLockKey)
                                                  : find_schema_lock_holders(session_);
    } catch (const pg::Error&) {
      return {};  // the failure itself is what has to be reported
    }
  }

  [[noreturn]] void explain_denial(const pg::Error& error) {
    if (session_.is_open() && !session_.in_transaction()) {
      rights_ = migration_rights(session_);
      require_rights();
    }
    throw Error(
        ExitCode::database,
        fmt::format("user {} lacks a right that migrating database {} needs: {}", rights_.user,
                    rights_.database, error.what()),
        fmt::format("Migrate as the owner of schema weir and of all that is in it{}, or as a superuser.",
                    rights_.schema_owner ? " (" + *rights_.schema_owner + ")" : std::string()));
  }

  void tell(const MigrationEvent& event) const {
    if (options_.on_event) options_.on_event(event);
  }

  pg::Session& session_;
  const MigrateOptions& options_;
  SteadyTime started_;
  MigrationRights rights_;
  MigrationReport report_;
};

}  // namespace

MigrationReport migrate(pg::Session& session, const MigrateOptions& options) {
  return Migrator(session, options).run();
}

}  // namespace weir::schema
