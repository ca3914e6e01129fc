// A database of the user's own: what is said when it cannot be reached or used, and with which exit code.
#include <csignal>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "fake_server.h"
#include "pg/identifier.h"
#include "schema/migrator.h"
#include "support/database.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

WeirSetup with_url(const std::string& url) { return {.env = {{"DATABASE_URL", url}}}; }

WeirResult status_of(const std::string& url) { return run_weir({"db", "status"}, with_url(url)); }

TEST(CliDatabaseUrl, MalformedIsAUsageErrorThatNamesTheVariable) {
  const WeirResult result = status_of("postgres//eve:sesame@db");
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("weir: DATABASE_URL: the connection string is malformed: "));
  EXPECT_THAT(result.err, HasSubstr("\n  Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE"));
  EXPECT_THAT(run_weir({"db", "status", "--database-url", "nonsense"}).err, HasSubstr("--database-url: the"));
}

TEST(CliDatabaseUrl, NobodyListening) {
  const WeirResult result = status_of("postgresql://eve:sesame@127.0.0.1:1/db");
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("weir: cannot connect to postgresql://eve@127.0.0.1:1/db: "),
                    HasSubstr("Connection refused"), HasSubstr("\n  No server listens there: start it"),
                    Not(HasSubstr("sesame"))));
}

TEST(CliDatabaseUrl, UnknownHost) {
  const WeirResult result = status_of("postgresql://eve@no-such-host.invalid/db");
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, HasSubstr("The host name is not known"));
}

TEST(CliDatabaseUrl, AServerThatNeverAnswersIsBoundedByConnectTimeout) {
  const FakeServer silent{FakeServer::Silent{}};
  const WeirResult result = status_of(silent.url() + "&connect_timeout=1");
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, HasSubstr("the connection attempt timed out"));
}

TEST(CliDatabaseUrl, CtrlCEndsTheWaitForIt) {
  const FakeServer silent{FakeServer::Silent{}};
  WeirSetup setup = with_url(silent.url() + "&connect_timeout=600");
  WeirProgram up({"up"}, setup);
  up.wait_for_error("connecting to postgresql://eve@127.0.0.1");
  up.signal(SIGINT);
  EXPECT_EQ(up.wait_end(), 130);
  EXPECT_EQ(up.out(), "");
}

TEST(CliDatabaseUrl, TooOldAServer) {
  const FakeServer old({{"server_version", "13.16"}, {"in_hot_standby", "off"}});
  const WeirResult result = status_of(old.url());
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, AllOf(HasSubstr("is PostgreSQL 13.16; Weir needs 14 or newer"),
                                HasSubstr("\n  Upgrade the server"), Not(HasSubstr("sesame"))));
}

TEST(CliDatabaseUrl, AStandby) {
  const FakeServer standby({{"server_version", "15.20"}, {"in_hot_standby", "on"}});
  const WeirResult result = run_weir({"db", "migrate"}, with_url(standby.url()));
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, AllOf(HasSubstr("is a read-only standby"), HasSubstr("\n  Name the primary")));
}

TEST(CliDatabaseUrl, StartAndStopAreRefused) {
  const WeirSetup setup = with_url("postgresql://eve:sesame@db.example/x");
  for (const char* const verb : {"start", "stop"}) {
    const WeirResult result = run_weir({"db", verb}, setup);
    EXPECT_EQ(result.status, 5);
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("DATABASE_URL names another server (postgresql://eve@db.example/x)"),
                      HasSubstr(std::string("env -u DATABASE_URL weir db ") + verb + "\n"),
                      Not(HasSubstr("sesame"))));
  }
}

TEST(CliDatabaseUrl, UrlIsPrintedWithItsPasswordAndTheOptionWins) {
  const WeirSetup setup = with_url("postgresql://eve:se%20same@db.example:5/x");
  EXPECT_EQ(run_weir({"db", "url"}, setup).out, "postgresql://eve:se%20same@db.example:5/x\n");
  EXPECT_EQ(run_weir({"db", "url", "--database-url", "postgresql://a@b/c"}, setup).out,
            "postgresql://a@b/c\n");
}

class CliDatabase : public PgTest {
 protected:
  void TearDown() override {
    if (!role_.empty()) {
      pg::Session admin = session();
      admin.execute("DROP OWNED BY " + role_);
      admin.execute("DROP ROLE " + role_);
    }
    PgTest::TearDown();
  }

  void end_session_of_up() {
    session().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
        "application_name = 'weir:api:up'");
  }

  /// A plain user with a password; answers its URL with `password`.
  std::string url_of_user(const std::string& password) {
    role_ = "cli_" + database();
    session().execute("CREATE ROLE " + role_ + " LOGIN PASSWORD 'right'");
    return tcp_conninfo().set("user", role_).set("password", password).url();
  }

 private:
  std::string role_;
};

TEST_F(CliDatabase, StatusSaysWhatItIs) {
  const WeirResult result = run_weir({"db", "status", "--json"}, with_url(tcp_url()));
  ASSERT_EQ(result.status, 0) << result.err;
  const auto document = nlohmann::json::parse(result.out);
  EXPECT_EQ(document.at("state"), "running");
  EXPECT_EQ(document.at("source"), "DATABASE_URL");
  EXPECT_EQ(document.at("url"), tcp_conninfo().display());
  EXPECT_EQ(document.at("standby"), false);
  EXPECT_EQ(document.at("schema").at("state"), "missing");
  EXPECT_EQ(document.at("schema").at("applied"), 0);
  for (const char* const unknown : {"pid", "port", "data_dir", "socket_dir", "log", "bytes", "kept"})
    EXPECT_TRUE(document.at(unknown).is_null()) << unknown;
  EXPECT_THAT(result.out, Not(HasSubstr(std::string(tcp_conninfo().get("password").value()))));
}

TEST_F(CliDatabase, WrongPassword) {
  const WeirResult result = status_of(url_of_user("wrong-secret"));
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("password authentication failed"),
                    HasSubstr("\n  Check the user name and the password"), Not(HasSubstr("wrong-secret"))));
}

TEST_F(CliDatabase, MissingDatabase) {
  pg::Conninfo conninfo = tcp_conninfo().set("dbname", "no_such_db");
  const WeirResult result = status_of(conninfo.url());
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, HasSubstr("\n  Create the database (createdb NAME)"));
}

TEST_F(CliDatabase, MissingPrivileges) {
  const WeirResult result = run_weir({"db", "migrate"}, with_url(url_of_user("right")));
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("may not create schema weir"), HasSubstr("GRANT CREATE ON DATABASE")));
}

TEST_F(CliDatabase, MigratePlansFirstAndThenDoes) {
  const WeirSetup setup = with_url(url());
  const WeirResult plan = run_weir({"db", "migrate", "--plan"}, setup);
  EXPECT_EQ(plan.status, 0) << plan.err;
  EXPECT_THAT(plan.out, AllOf(::testing::ContainsRegex("     1  foundation +pending\n"),
                              HasSubstr("nothing was changed")));
  EXPECT_EQ(nlohmann::json::parse(run_weir({"db", "migrate", "--plan", "--json"}, setup).out).at("applied"),
            0);

  const auto report = nlohmann::json::parse(run_weir({"db", "migrate", "--json"}, setup).out);
  const std::size_t known = schema::known_migrations().size();
  EXPECT_EQ(report.at("version"), known);
  EXPECT_EQ(report.at("applied").size(), known);
  EXPECT_EQ(report.at("applied").at(0).at("name"), "foundation");

  EXPECT_THAT(run_weir({"db", "migrate", "--plan"}, setup).out, HasSubstr("nothing to do"));
  EXPECT_THAT(run_weir({"db", "migrate"}, setup).out, HasSubstr("the schema is already at"));
}

TEST_F(CliDatabase, ANewerSchemaIsRefused) {
  const WeirSetup setup = with_url(url());
  ASSERT_EQ(run_weir({"db", "migrate"}, setup).status, 0);
  session().execute(
      "INSERT INTO weir.schema_migration (number, name, checksum, took_ms) VALUES (999, 'later', 'x', 1)");
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"db", "migrate"}, {"up"}, {"db", "migrate", "--plan"}}) {
    const WeirResult result = run_weir(words, setup);
    EXPECT_EQ(result.status, 5) << ::testing::PrintToString(words);
    EXPECT_THAT(result.err, HasSubstr("newer")) << result.err;
  }
}

TEST_F(CliDatabase, PsqlGetsThePasswordAndItsStatusIsOurs) {
  const WeirSetup setup = with_url(tcp_url());
  const WeirResult result = run_weir({"db", "psql", "--", "-XAtc", "select 6 * 7"}, setup);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "42\n");
  EXPECT_EQ(run_weir({"db", "psql", "--", "-Xc", "nonsense"}, setup).status, 1);
  WeirSetup without = setup;
  without.env["PATH"] = "/nowhere";
  without.env["WEIR_PG_BIN"] = std::nullopt;
  const WeirResult missing = run_weir({"db", "psql"}, without);
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, HasSubstr("the program psql was not found on PATH"));
}

TEST_F(CliDatabase, NobodysFunctionsRunWithTheRightsOfWhoMigratesOrLooks) {
  // Whoever may create in schema public could offer functions that are nearer to a call than PostgreSQL's
  // own.
  session().execute_script(
      "CREATE FUNCTION public.quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; "
      "END $$;"
      "CREATE FUNCTION public.has_database_privilege(name, text) RETURNS bool LANGUAGE plpgsql AS "
      "$$ BEGIN RAISE 'caught'; END $$;");
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"db", "migrate"}, {"doctor"}, {"db", "status"}}) {
    const WeirResult result = run_weir(words, with_url(url()));
    EXPECT_THAT(result.out + result.err, Not(HasSubstr("caught")));
    EXPECT_NE(result.status, 4);
  }
}

TEST_F(CliDatabase, UpEndsWhenTheSchemaHasBecomeNewer) {
  WeirProgram up({"up"}, with_url(url()));
  up.wait_for("weir: ready");
  session().execute(
      "INSERT INTO weir.schema_migration (number, name, checksum, took_ms) VALUES (999, 'later', 'x', 1)");
  end_session_of_up();
  EXPECT_EQ(up.wait_end(), 5);
  EXPECT_THAT(up.err(), HasSubstr("the schema is newer than this binary"));
}

TEST_F(CliDatabase, UpConnectsAndReconnects) {
  WeirProgram up({"up"}, with_url(tcp_url()));
  EXPECT_EQ(up.wait_for("weir: ready"), "weir: ready; connect with: psql '" + tcp_conninfo().display() + "'");
  end_session_of_up();
  up.wait_for_error("the connection to the database was lost");
  up.wait_for_error("the database is back");
  up.signal(SIGTERM);
  EXPECT_EQ(up.wait_end(), 0);
}

}  // namespace
}  // namespace weir::test
