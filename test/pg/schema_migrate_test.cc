#include <array>
#include <latch>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/test_signal.h"
#include "pg/transaction.h"
#include "schema/migrator.h"
#include "schema/schema_check.h"
#include "support/actions.h"
#include "support/database.h"
#include "support/waiting.h"

namespace weir::schema {
namespace {

using namespace std::chrono_literals;
using test::failure_of;
using test::in_background;
using Kind = MigrationEvent::Kind;

/// The binary's migrations and then some of the test.
std::vector<Migration> known_and(std::initializer_list<const char*> scripts) {
  std::vector<Migration> all(known_migrations().begin(), known_migrations().end());
  for (const char* script : scripts) {
    all.push_back({static_cast<int>(all.size()) + 1, "of_the_test", "0123456789abcdef", script});
  }
  return all;
}

class MigrateTest : public test::PgTest {
 protected:
  MigrationReport migrate_all(std::span<const Migration> known = known_migrations()) {
    pg::Session session = this->session();
    return migrate(session, {.limit = pg::Limit::within(60s), .known = known});
  }
  std::string text(const std::string& sql) { return session().execute(sql)[0].get<std::string>(0); }
  std::string applied_numbers() {
    return text("SELECT string_agg(number::text, ' ' ORDER BY number) FROM weir.schema_migration");
  }
  static int last() { return static_cast<int>(known_migrations().size()); }
};

TEST_F(MigrateTest, BringsAnEmptyDatabaseUpAndIsIdempotent) {
  const MigrationReport first = migrate_all();
  EXPECT_EQ(first.applied.size(), known_migrations().size());
  EXPECT_EQ(first.version, last());
  EXPECT_TRUE(first.notices.empty());
  const MigrationReport second = migrate_all();
  EXPECT_TRUE(second.applied.empty());
  EXPECT_EQ(second.version, last());
  EXPECT_EQ(text("SELECT count(*)::text FROM weir.instance"), "1");
}

TEST_F(MigrateTest, TellsWhatHappensAndRecordsIt) {
  pg::Session session = this->session();
  std::vector<int> told;
  migrate(session, {.on_event = [&](const MigrationEvent& event) {
            EXPECT_EQ(event.kind, Kind::applied);
            told.push_back(event.number);
          }});
  EXPECT_EQ(told.size(), known_migrations().size());
  const auto applied = read_applied(session);
  ASSERT_EQ(applied.size(), known_migrations().size());
  EXPECT_EQ(applied[0].name, "foundation");
  EXPECT_EQ(applied[0].checksum, known_migrations()[0].checksum);
  EXPECT_FALSE(applied[0].applied_by.empty());
  EXPECT_GT(applied[0].applied_at, WallTime());
}

TEST_F(MigrateTest, APlanOfAnEmptyDatabaseWritesNothing) {
  pg::Session session = this->session();
  session.set("default_transaction_read_only", "on");
  EXPECT_EQ(plan(session).count(MigrationState::pending), known_migrations().size());
  EXPECT_EQ(check_schema(session).state, SchemaState::missing);
  EXPECT_EQ(text("SELECT count(*)::text FROM pg_namespace WHERE nspname = 'weir'"), "0");
}

TEST_F(MigrateTest, ScriptsDoNotMeetWhatIsInTheUsersSearchPath) {
  session().execute_script(
      "CREATE SCHEMA trap; CREATE FUNCTION trap.gen_random_uuid() RETURNS uuid LANGUAGE sql AS "
      "$$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;");
  session().execute("ALTER DATABASE \"" + database() + "\" SET search_path = trap, pg_catalog");
  migrate_all();
  EXPECT_NE(text("SELECT id::text FROM weir.instance"), "00000000-0000-0000-0000-000000000000");
}

TEST_F(MigrateTest, ScriptsMeetTheSameSettingsInEveryDatabase) {
  const std::string alter = "ALTER DATABASE \"" + database() + "\" SET ";
  session().execute(alter + "statement_timeout = '1h'");
  session().execute(alter + "lock_timeout = '1h'");
  session().execute(alter + "standard_conforming_strings = off");
  if (session().server_version() >= 170000) session().execute(alter + "transaction_timeout = '1h'");
  session().execute(alter + "default_transaction_read_only = on");
  const std::vector<Migration> known =
      known_and({"CREATE TABLE weir.met AS SELECT current_setting('search_path') AS search_path,"
                 " current_setting('lock_timeout') AS lock_timeout,"
                 " current_setting('statement_timeout') AS statement_timeout,"
                 " current_setting('standard_conforming_strings') AS strings,"
                 " coalesce(current_setting('transaction_timeout', true), '0') AS transaction_timeout;"});
  migrate_all(known);
  EXPECT_EQ(text("SELECT met::text FROM weir.met"), "(\"pg_catalog, pg_temp\",2s,0,on,0)");
}

TEST_F(MigrateTest, ConcurrentMigratorsApplyEachMigrationOnce) {
  constexpr int kMigrators = 4;
  std::latch start(kMigrators);
  std::array<MigrationReport, kMigrators> reports;
  {
    std::vector<std::jthread> migrators;
    for (MigrationReport& report : reports) {
      migrators.push_back(in_background([&] {
        pg::Session session = this->session();
        start.arrive_and_wait();
        report = migrate(session, {.limit = pg::Limit::within(60s), .backoff = {.base = 1ms, .cap = 20ms}});
      }));
    }
  }
  std::size_t applied = 0;
  for (const MigrationReport& report : reports) {
    applied += report.applied.size();
    EXPECT_EQ(report.version, last());
  }
  EXPECT_EQ(applied, known_migrations().size());
}

TEST_F(MigrateTest, WaitsForAnotherMigratorAndThenFindsNothingToDo) {
  migrate_all();
  const std::vector<Migration> known =
      known_and({"SELECT pg_advisory_xact_lock(1); CREATE TABLE weir.gated (i int);"});
  pg::Session gate = session();
  gate.execute("SELECT pg_advisory_lock(1)");

  TestSignal<int> pid;
  pid.enable();
  MigrationReport first_report;
  std::jthread first_migrator = in_background([&] {
    pg::Session session = this->session();
    pid.emit(session.backend_pid());
    first_report = migrate(session, {.limit = pg::Limit::within(60s), .lock_timeout = 60s, .known = known});
  });
  test::wait_until_blocked(connector(), pid.wait(Deadline::after(20s)).value());

  pg::Session second = session();
  bool waited = false;
  const MigrationReport second_report = migrate(second, {.limit = pg::Limit::within(60s),
                                                         .backoff = {.base = 1ms, .cap = 20ms},
                                                         .known = known,
                                                         .on_event = [&](const MigrationEvent& event) {
                                                           if (event.kind != Kind::waiting || waited) return;
                                                           waited = true;
                                                           gate.execute("SELECT pg_advisory_unlock(1)");
                                                         }});
  first_migrator.join();
  EXPECT_TRUE(waited);
  EXPECT_EQ(first_report.applied.size(), 1U);
  EXPECT_TRUE(second_report.applied.empty());
  EXPECT_EQ(second_report.version, last() + 1);
}

TEST_F(MigrateTest, StepsBackFromALockAndTriesAgain) {
  migrate_all();
  const std::vector<Migration> known = known_and({"ALTER TABLE weir.instance ADD COLUMN note text;"});
  pg::Session blocker = session();
  std::optional<pg::Transaction> transaction(std::in_place, blocker);
  blocker.execute("LOCK TABLE weir.instance IN ACCESS SHARE MODE");

  pg::Session session = this->session();
  int retries = 0;
  const MigrationReport report = migrate(session, {.limit = pg::Limit::within(60s),
                                                   .lock_timeout = 10ms,
                                                   .backoff = {.base = 1ms, .cap = 5ms},
                                                   .known = known,
                                                   .on_event = [&](const MigrationEvent& event) {
                                                     if (event.kind != Kind::retrying) return;
                                                     EXPECT_EQ(event.number, last() + 1);
                                                     EXPECT_EQ(event.attempt, ++retries);
                                                     if (retries == 2) transaction.reset();
                                                   }});
  EXPECT_EQ(retries, 2);
  EXPECT_EQ(report.applied.size(), 1U);
}

TEST_F(MigrateTest, NamesWhoIsInTheWayWhenTimeIsUp) {
  migrate_all();
  const std::vector<Migration> known = known_and({"ALTER TABLE weir.instance ADD COLUMN note text;"});
  pg::Session blocker = connector().connect(pg::Role::load, "culprit");
  const pg::Transaction transaction(blocker);
  blocker.execute("LOCK TABLE weir.instance IN ACCESS SHARE MODE");

  pg::Session session = this->session();
  const Error error = failure_of([&] {
    migrate(session, {.limit = pg::Limit::within(300ms),
                      .lock_timeout = 20ms,
                      .backoff = {.base = 10ms, .cap = 10ms},
                      .known = known});
  });
  const std::string message = error.what();
  EXPECT_EQ(error.exit_code(), ExitCode::database);
  EXPECT_NE(message.find("a lock it needs was not free"), std::string::npos) << message;
  EXPECT_NE(message.find("pid " + std::to_string(blocker.backend_pid()) + " (weir:load:culprit, user "),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("idle in transaction for "), std::string::npos) << message;
  EXPECT_NE(error.remedy().find("pg_terminate_backend(" + std::to_string(blocker.backend_pid()) + ")"),
            std::string::npos);
  EXPECT_TRUE(session.is_open());
  EXPECT_FALSE(session.in_transaction());
}

TEST_F(MigrateTest, NamesTheOtherMigratorWhenTimeIsUp) {
  const std::vector<Migration> known = known_and({"SELECT pg_advisory_xact_lock(1);"});
  migrate_all();
  pg::Session gate = session();
  gate.execute("SELECT pg_advisory_lock(1)");
  TestSignal<int> pid;
  pid.enable();
  std::jthread first = in_background([&] {
    pg::Session session = this->session();
    pid.emit(session.backend_pid());
    migrate(session, {.limit = pg::Limit::within(60s), .lock_timeout = 60s, .known = known});
  });
  const int first_pid = pid.wait(Deadline::after(20s)).value();
  test::wait_until_blocked(connector(), first_pid);

  pg::Session session = this->session();
  const Error error = failure_of([&] {
    migrate(session,
            {.limit = pg::Limit::within(100ms), .backoff = {.base = 10ms, .cap = 10ms}, .known = known});
  });
  gate.execute("SELECT pg_advisory_unlock(1)");
  const std::string message = error.what();
  EXPECT_NE(message.find("another migrator is at work"), std::string::npos) << message;
  EXPECT_NE(message.find("pid " + std::to_string(first_pid) + " "), std::string::npos) << message;
}

TEST_F(MigrateTest, StopEndsTheWait) {
  migrate_all();
  pg::Session holder = session();
  const pg::Transaction transaction(holder);
  holder.execute("LOCK TABLE weir.instance IN ACCESS SHARE MODE");
  std::stop_source stop;
  pg::Session session = this->session();
  const std::vector<Migration> known = known_and({"ALTER TABLE weir.instance ADD COLUMN note text;"});
  EXPECT_THROW(migrate(session, {.limit = {.stop = stop.get_token()},
                                 .lock_timeout = 10ms,
                                 .backoff = {.base = 1h, .cap = 1h},
                                 .known = known,
                                 .on_event = [&](const MigrationEvent&) { stop.request_stop(); }}),
               pg::Cancelled);
}

TEST_F(MigrateTest, RightsAreAppliedInTheTransactionOfEachMigration) {
  migrate_all();
  // Later ones fail: nothing makes up for what was not done with the first.
  EXPECT_THROW(migrate_all(known_and(
                   {"CREATE FUNCTION weir.forgotten() RETURNS int LANGUAGE sql AS 'SELECT 1';"
                    "CREATE TABLE weir.shown (i int);"
                    "INSERT INTO weir.role_grant VALUES ('weir_viewer', 'table', 'weir.shown', 'SELECT');",
                    "SELECT 1/0;"})),
               pg::Error);
  EXPECT_EQ(text("SELECT has_function_privilege('public', 'weir.forgotten()', 'EXECUTE')::text"), "false");
  EXPECT_EQ(text("SELECT has_table_privilege('weir_viewer', 'weir.shown', 'SELECT')::text"), "true");
}

TEST_F(MigrateTest, AMigrationThatGrantsWhatDoesNotExistIsUndone) {
  migrate_all();
  const Error error = failure_of([&] {
    migrate_all(known_and(
        {"INSERT INTO weir.role_grant VALUES ('weir_viewer', 'table', 'weir.misspelt', 'SELECT');"}));
  });
  EXPECT_NE(std::string(error.what()).find("weir.role_grant names table weir.misspelt"), std::string::npos)
      << error.what();
  EXPECT_EQ(text("SELECT max(number)::text FROM weir.schema_migration"), std::to_string(last()));
}

TEST_F(MigrateTest, FunctionsBringTheirOwnSearchPath) {
  migrate_all();
  // The body of BEGIN ATOMIC was bound when it was made, and in weir.enqueue() every name says its schema
  // (ClientTest.WhatAProducerHasInItsSearchPathIsNotCalledWithTheOwnersRights).
  EXPECT_EQ(text("SELECT coalesce(string_agg(oid::regprocedure::text, ', '), 'all') FROM pg_proc "
                 "WHERE pronamespace = 'weir'::regnamespace AND prosqlbody IS NULL "
                 "AND proname <> 'enqueue' "
                 "AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']"),
            "all");
}

TEST_F(MigrateTest, AScriptThatFailsLeavesNothingOfItself) {
  const std::vector<Migration> known =
      known_and({"CREATE TABLE weir.whole (i int);", "CREATE TABLE weir.half (i int); SELECT 1/0;"});
  EXPECT_THROW(migrate_all(known), pg::Error);
  EXPECT_EQ(text("SELECT max(number)::text FROM weir.schema_migration"), std::to_string(last() + 1));
  EXPECT_EQ(text("SELECT concat(to_regclass('weir.whole')::oid > 0, to_regclass('weir.half')::oid > 0)"),
            "t");
}

TEST_F(MigrateTest, AKilledBackendLeavesWholeMigrationsAndTheNextRunGoesOn) {
  migrate_all();  // in its course one may wait for others, who make the same roles
  const std::vector<Migration> known =
      known_and({"CREATE TABLE weir.half (i int); SELECT pg_advisory_xact_lock(1);"});
  pg::Session gate = session();
  gate.execute("SELECT pg_advisory_lock(1)");
  TestSignal<int> pid;
  pid.enable();
  std::jthread victim = in_background([&] {
    pg::Session session = this->session();
    pid.emit(session.backend_pid());
    EXPECT_THROW(migrate(session, {.lock_timeout = 60s, .known = known}), pg::ConnectionLost);
  });
  const int victim_pid = pid.wait(Deadline::after(20s)).value();
  test::wait_until_blocked(connector(), victim_pid);
  test::terminate_backend(connector(), victim_pid);
  victim.join();
  gate.execute("SELECT pg_advisory_unlock(1)");

  EXPECT_EQ(text("SELECT max(number)::text FROM weir.schema_migration"), std::to_string(last()));
  EXPECT_EQ(text("SELECT coalesce(to_regclass('weir.half')::text, 'none')"), "none");
  EXPECT_EQ(migrate_all(known).applied.size(), 1U);
}

TEST_F(MigrateTest, ATamperedChecksumIsRefused) {
  migrate_all();
  session().execute("UPDATE weir.schema_migration SET checksum = 'x' WHERE number = 1");
  const Error error = failure_of([&] { migrate_all(); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_NE(std::string(error.what()).find("001_foundation was applied"), std::string::npos) << error.what();
  pg::Session session = this->session();
  EXPECT_EQ(check_schema(session).state, SchemaState::refused);
}

TEST_F(MigrateTest, ANewerSchemaIsRefused) {
  migrate_all(known_and({"CREATE TABLE weir.newer (i int);"}));
  const Error error = failure_of([&] { migrate_all(); });
  EXPECT_EQ(error.exit_code(), ExitCode::refused);
  EXPECT_EQ(std::string(error.what()), "the schema is newer than this binary (" + std::to_string(last() + 1) +
                                           " > " + std::to_string(last()) + ")");
  pg::Session session = this->session();
  EXPECT_EQ(failure_of([&] { require_schema(session); }).exit_code(), ExitCode::refused);
}

TEST_F(MigrateTest, AnOlderSchemaIsBehind) {
  migrate_all();
  pg::Session session = this->session();
  EXPECT_EQ(check_schema(session).state, SchemaState::ok);
  EXPECT_NO_THROW(require_schema(session));
  EXPECT_EQ(check_schema(session, known_and({"SELECT 1;"})).state, SchemaState::behind);
}

TEST_F(MigrateTest, ASchemaThatSomebodyElseMadeIsRefused) {
  session().execute_script("CREATE SCHEMA weir; CREATE TABLE weir.mine (i int);");
  EXPECT_EQ(failure_of([&] { migrate_all(); }).exit_code(), ExitCode::refused);
}

}  // namespace
}  // namespace weir::schema
