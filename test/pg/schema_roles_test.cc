// Roles belong to the whole server, so these tests have one of their own.

#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/test_signal.h"
#include "pg/identifier.h"
#include "pg/transaction.h"
#include "schema/migrator.h"
#include "schema/queries/roles.h"
#include "schema/roles.h"
#include "schema/schema_check.h"
#include "support/actions.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::schema {
namespace {

using namespace std::chrono_literals;
using test::failure_of;
using test::in_background;

constexpr const char* kInsufficientPrivilege = "42501";

class RolesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = std::make_unique<test::TestServer>(); }
  static void TearDownTestSuite() { server_.reset(); }

  /// An empty database, no roles of Weir, and a user without any right.
  void SetUp() override {
    pg::Session session = admin("weir");
    session.execute("DROP DATABASE IF EXISTS roles WITH (FORCE)");
    session.execute("DROP DATABASE IF EXISTS other WITH (FORCE)");
    session.execute_script(
        "DROP ROLE IF EXISTS weir_producer, weir_worker, weir_viewer, \"o'Hara\", boss;"
        "CREATE ROLE \"o'Hara\" LOGIN;");
    session.execute("CREATE DATABASE roles");
  }

  static pg::Connector connector(const std::string& database = "roles") {
    return pg::Connector(server_->conninfo(database));
  }
  static pg::Session admin(const std::string& database = "roles") {
    return connector(database).connect(pg::Role::api, "test");
  }
  /// A session with the rights of another role, and no way to feel like the administrator.
  static pg::Session as(const std::string& role, const std::string& database = "roles") {
    pg::Session session = admin(database);
    session.execute("SET SESSION AUTHORIZATION " + pg::quote_identifier(role));
    return session;
  }
  static MigrationReport migrate_as(pg::Session session,
                                    std::span<const Migration> known = known_migrations()) {
    return migrate(session, {.limit = pg::Limit::within(60s), .known = known});
  }
  static std::string text(pg::Session session, const std::string& sql) {
    return session.execute(sql)[0].get<std::string>(0);
  }
  /// The SQLSTATE that `sql` fails with, or "ok".
  static std::string outcome(const std::string& role, const std::string& sql) {
    pg::Session session = as(role);
    try {
      session.execute(sql);
      return "ok";
    } catch (const pg::Error& error) {
      return error.sqlstate();
    }
  }
  static void give_database_to_user() { admin().execute("GRANT CREATE ON DATABASE roles TO \"o'Hara\""); }

 private:
  static inline std::unique_ptr<test::TestServer> server_;
};

TEST_F(RolesTest, AUserWithoutRightsIsToldTheExactGrant) {
  const Error error = failure_of([] { migrate_as(as("o'Hara")); });
  EXPECT_EQ(error.exit_code(), ExitCode::database);
  EXPECT_STREQ(error.what(), "user \"o'Hara\" may not create schema weir in database roles");
  EXPECT_NE(error.remedy().find("GRANT CREATE ON DATABASE roles TO \"o'Hara\";"), std::string::npos);
  pg::Session session = as("o'Hara");
  EXPECT_EQ(plan(session).applied, 0);
}

TEST_F(RolesTest, AnEmptySchemaMadeByAnAdministratorIsEnough) {
  admin().execute("CREATE SCHEMA weir AUTHORIZATION \"o'Hara\"");
  EXPECT_EQ(migrate_as(as("o'Hara")).version, static_cast<int>(known_migrations().size()));
}

TEST_F(RolesTest, AnAdministratorsMigrationMakesPlainGroups) {
  EXPECT_TRUE(migrate_as(admin()).notices.empty());
  pg::Session session = admin();
  const auto roles = session.run<sql::GroupRoles>();
  ASSERT_EQ(roles.size(), 3);
  for (const auto role : roles) EXPECT_TRUE(role.present && role.is_group) << role.role;
}

TEST_F(RolesTest, WithoutCreateroleMigrationsGoThroughAndTheRolesAreReported) {
  give_database_to_user();
  const MigrationReport report = migrate_as(as("o'Hara"));
  EXPECT_EQ(report.applied.size(), known_migrations().size());
  ASSERT_EQ(report.notices.size(), 1U);
  EXPECT_NE(report.notices[0].find("CREATE ROLE weir_producer NOLOGIN; CREATE ROLE weir_worker NOLOGIN; "
                                   "CREATE ROLE weir_viewer NOLOGIN;"),
            std::string::npos)
      << report.notices[0];

  admin().execute_script(
      "CREATE ROLE weir_producer NOLOGIN; CREATE ROLE weir_worker NOLOGIN; CREATE ROLE weir_viewer NOLOGIN;");
  EXPECT_TRUE(migrate_as(as("o'Hara")).notices.empty());
  EXPECT_EQ(outcome("weir_viewer", "SELECT * FROM weir.instance"), "ok");
}

TEST_F(RolesTest, ARoleThatCanLogInIsLeftAlone) {
  admin().execute("CREATE ROLE weir_worker LOGIN");
  const MigrationReport report = migrate_as(admin());
  ASSERT_EQ(report.notices.size(), 1U);
  EXPECT_NE(report.notices[0].find("Role weir_worker exists and is more than a group"), std::string::npos);
  EXPECT_EQ(text(admin(), "SELECT rolcanlogin::text FROM pg_roles WHERE rolname = 'weir_worker'"), "true");
  EXPECT_EQ(outcome("weir_worker", "SELECT * FROM weir.instance"), kInsufficientPrivilege);
}

TEST_F(RolesTest, TwoDatabasesMayMakeTheRolesAtTheSameTime) {
  admin().execute("CREATE DATABASE other");
  for (const char* database : {"roles", "other"}) {
    admin(database).execute("CREATE SCHEMA weir AUTHORIZATION \"o'Hara\"");
    EXPECT_EQ(migrate_as(as("o'Hara", database)).notices.size(), 1U);
  }

  pg::Session first = admin();
  pg::Transaction transaction(first);
  EXPECT_EQ(make_roles(first).at(0).outcome, RoleOutcome::created);
  first.run<sql::ApplyGrants>();
  TestSignal<int> pid;
  pid.enable();
  std::jthread second = in_background([&] {
    pg::Session session = admin("other");
    pg::Transaction waiting(session);
    pid.emit(session.backend_pid());
    EXPECT_EQ(make_roles(session).at(0).outcome, RoleOutcome::present);
    session.run<sql::ApplyGrants>();
    waiting.commit();
  });
  // It has met the uncommitted role of the first one in the catalogue.
  test::wait_until_blocked(connector(), pid.wait(Deadline::after(20s)).value());
  transaction.commit();
  second.join();
  EXPECT_EQ(text(as("weir_viewer", "other"), "SELECT count(*)::text FROM weir.instance"), "1");
  EXPECT_EQ(text(as("weir_viewer", "roles"), "SELECT count(*)::text FROM weir.instance"), "1");
}

TEST_F(RolesTest, ViewersReadAndDoNotWrite) {
  migrate_as(admin());
  EXPECT_EQ(outcome("weir_viewer", "SELECT * FROM weir.schema_migration"), "ok");
  EXPECT_EQ(outcome("weir_viewer", "SELECT * FROM weir.role_grant"), "ok");
  EXPECT_EQ(outcome("weir_viewer", "DELETE FROM weir.instance"), kInsufficientPrivilege);
  EXPECT_EQ(outcome("weir_viewer", "INSERT INTO weir.instance DEFAULT VALUES"), kInsufficientPrivilege);
  EXPECT_EQ(outcome("weir_viewer", "CREATE TABLE weir.mine (i int)"), kInsufficientPrivilege);
  pg::Session session = as("weir_viewer");
  EXPECT_EQ(check_schema(session).state, SchemaState::ok);
}

TEST_F(RolesTest, ProducersReadNoTable) {
  migrate_as(admin());
  EXPECT_EQ(outcome("weir_producer", "SELECT * FROM weir.instance"), kInsufficientPrivilege);
  EXPECT_EQ(outcome("weir_producer", "SELECT * FROM weir.schema_migration"), kInsufficientPrivilege);
  pg::Session session = as("weir_producer");
  EXPECT_STREQ(failure_of([&] { require_schema(session); }).what(),
               "user weir_producer may not read Weir's tables in this database");
}

TEST_F(RolesTest, PublicGetsNothing) {
  migrate_as(admin());
  EXPECT_EQ(outcome("o'Hara", "SELECT * FROM weir.instance"), kInsufficientPrivilege);
  EXPECT_EQ(outcome("o'Hara", "SELECT weir.apply_grants()"), kInsufficientPrivilege);
  EXPECT_EQ(outcome("weir_viewer", "SELECT weir.apply_grants()"), kInsufficientPrivilege);
  EXPECT_EQ(outcome("weir_worker", "SELECT weir.create_roles()"), kInsufficientPrivilege);
}

TEST_F(RolesTest, ApplyGrantsTakesBackWhatIsNotDeclaredAndThenHasNothingToDo) {
  migrate_as(admin());
  pg::Session session = admin();
  EXPECT_TRUE(session.run<sql::ApplyGrants>().empty());
  session.execute_script(
      "GRANT DELETE ON weir.instance TO weir_viewer; GRANT SELECT ON weir.instance TO PUBLIC;"
      "CREATE FUNCTION weir.answer(kind text) RETURNS int LANGUAGE sql AS 'SELECT 1';"
      "CREATE PROCEDURE weir.tidy() LANGUAGE sql AS 'SELECT 1';"
      "INSERT INTO weir.role_grant VALUES ('weir_producer', 'routine', 'weir.answer(text)', 'EXECUTE');");
  const auto changes = session.run<sql::ApplyGrants>();
  std::string statements;
  for (const auto row : changes) statements.append(row.statement).append("\n");
  EXPECT_EQ(statements,
            "GRANT EXECUTE ON ROUTINE weir.answer(text) TO weir_producer\n"
            "REVOKE DELETE ON TABLE weir.instance FROM weir_viewer\n"
            "REVOKE EXECUTE ON ROUTINE weir.answer(text) FROM PUBLIC\n"
            "REVOKE EXECUTE ON ROUTINE weir.tidy() FROM PUBLIC\n"
            "REVOKE SELECT ON TABLE weir.instance FROM PUBLIC\n");
  EXPECT_TRUE(session.run<sql::ApplyGrants>().empty());
  EXPECT_EQ(outcome("weir_producer", "SELECT weir.answer('x')"), "ok");
  EXPECT_EQ(outcome("weir_viewer", "SELECT weir.answer('x')"), kInsufficientPrivilege);

  session.execute("INSERT INTO weir.role_grant VALUES ('weir_viewer', 'table', 'weir.gone', 'SELECT')");
  EXPECT_THROW(session.run<sql::ApplyGrants>(), pg::Error);
}

TEST_F(RolesTest, ApplyGrantsTakesBackRightsOnSingleColumns) {
  migrate_as(admin());
  pg::Session session = admin();
  session.execute_script(
      "CREATE TABLE weir.odd (\"a b\" int, c int); GRANT SELECT (\"a b\", c) ON weir.odd TO PUBLIC;"
      "GRANT UPDATE (id), SELECT (id) ON weir.instance TO weir_producer;"
      "GRANT SELECT (id) ON weir.instance TO weir_viewer; GRANT SELECT (id) ON weir.instance TO \"o'Hara\"");
  EXPECT_EQ(outcome("weir_producer", "SELECT id FROM weir.instance"), "ok");
  std::string statements;
  const auto changes = session.run<sql::ApplyGrants>();
  for (const auto row : changes) statements.append(row.statement).append("\n");
  EXPECT_EQ(statements,
            "REVOKE SELECT (\"a b\") ON TABLE weir.odd FROM PUBLIC CASCADE\n"
            "REVOKE SELECT (c) ON TABLE weir.odd FROM PUBLIC CASCADE\n"
            "REVOKE SELECT (id) ON TABLE weir.instance FROM weir_producer CASCADE\n"
            "REVOKE SELECT (id) ON TABLE weir.instance FROM weir_viewer CASCADE\n"
            "REVOKE UPDATE (id) ON TABLE weir.instance FROM weir_producer CASCADE\n");
  EXPECT_TRUE(session.run<sql::ApplyGrants>().empty());
  EXPECT_EQ(outcome("weir_producer", "SELECT id FROM weir.instance"), kInsufficientPrivilege);
  EXPECT_EQ(outcome("weir_viewer", "SELECT id FROM weir.instance"), "ok") << "it may read the whole table";
  EXPECT_EQ(text(admin(), "SELECT has_column_privilege('o''Hara', 'weir.instance', 'id', 'SELECT')::text"),
            "true")
      << "whoever is no group role of Weir's keeps what he was given";
}

TEST_F(RolesTest, WhoDoesNotOwnTheSchemaIsToldWhoDoes) {
  migrate_as(admin());
  admin().execute("GRANT weir_viewer TO \"o'Hara\"");
  EXPECT_TRUE(migrate_as(as("o'Hara")).applied.empty());  // nothing pending, so nothing is missing
  admin().execute_script(
      "CREATE ROLE boss; ALTER SCHEMA weir OWNER TO boss; DELETE FROM weir.schema_migration "
      "WHERE number = (SELECT max(number) FROM weir.schema_migration)");
  const Error error = failure_of([] { migrate_as(as("o'Hara")); });
  EXPECT_NE(error.remedy().find("GRANT boss TO \"o'Hara\";"), std::string::npos) << error.remedy();
}

TEST_F(RolesTest, WhateverAnAdministratorOrAMemberMigratesBelongsToTheSchemasOwner) {
  admin().execute("CREATE SCHEMA weir AUTHORIZATION \"o'Hara\"");
  EXPECT_TRUE(migrate_as(admin()).notices.empty());  // the roles are made with the administrator's own rights
  EXPECT_EQ(text(admin(),
                 "SELECT string_agg(DISTINCT o.owner::regrole::text, ' ') FROM ("
                 "SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'weir'::regnamespace UNION ALL "
                 "SELECT proowner FROM pg_proc WHERE pronamespace = 'weir'::regnamespace) o"),
            "\"o'Hara\"");
  EXPECT_EQ(text(admin(), "SELECT DISTINCT applied_by FROM weir.schema_migration"),
            text(admin(), "SELECT session_user::text"));
  EXPECT_EQ(outcome("weir_viewer", "SELECT * FROM weir.instance"), "ok");

  admin().execute_script("CREATE ROLE boss; GRANT \"o'Hara\" TO boss;");
  std::vector<Migration> known(known_migrations().begin(), known_migrations().end());
  known.push_back(
      {static_cast<int>(known.size()) + 1, "by_a_member", "x", "CREATE TABLE weir.late (i int);"});
  migrate_as(as("boss"), known);
  EXPECT_EQ(text(admin(), "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'weir.late'::regclass"),
            "\"o'Hara\"");
  EXPECT_TRUE(migrate_as(as("o'Hara"), known).applied.empty());
}

}  // namespace
}  // namespace weir::schema
