#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pg/budget.h"
#include "pg/connect_error.h"
#include "pg/conninfo.h"
#include "pg/error.h"
#include "pg/hosts.h"
#include "pg/role.h"

namespace weir::pg {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string refusal(const std::string& text) {
  try {
    (void)Conninfo::parse(text);
  } catch (const weir::Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    EXPECT_NE(error.remedy(), "");
    return error.what();
  }
  return "accepted";
}

RC_GTEST_PROP(Conninfo, ItsUrlMeansTheSame, ()) {
  const auto value = rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127)));
  Conninfo conninfo;
  conninfo.set("user", *value).set("password", *value).set("dbname", *value);
  conninfo.set("host", "/" + *value).set("port", "5432");
  const Conninfo again = Conninfo::parse(conninfo.url());
  for (const auto& [key, text] : conninfo.options()) RC_ASSERT(again.get(key) == text);
}

RC_GTEST_PROP(Conninfo, NeverShowsItsPassword, ()) {
  const std::string password =
      "secret" + *rc::gen::container<std::string>(rc::gen::elementOf(std::string("@:/?#&%' \\=ab")));
  Conninfo conninfo = Conninfo::parse("postgresql://eve@db/x");
  conninfo.set("password", password);
  RC_ASSERT(!contains(conninfo.display(), "secret"));
  RC_ASSERT(!contains(redact_password(conninfo.url()), "secret"));
  RC_ASSERT(!contains(explain_connect_failure("failed: " + conninfo.url(), conninfo).message, "secret"));
}

TEST(Conninfo, UnderstandsUrlsAndWords) {
  const Conninfo url = Conninfo::parse("postgres://eve:s%40y@db1:5433,db2:5434/shop?sslmode=require");
  EXPECT_EQ(url.get("host"), "db1,db2");
  EXPECT_EQ(url.get("port"), "5433,5434");
  EXPECT_EQ(url.get("password"), "s@y");
  EXPECT_EQ(Conninfo::parse(url.url()).get("host"), "db1,db2");
  const Conninfo words = Conninfo::parse("host=/run/pg dbname='my shop' user=eve");
  EXPECT_EQ(words.url(), "postgresql://eve@/my%20shop?host=%2Frun%2Fpg");
}

TEST(SingleHosts, SplitsWhatLibpqWouldTryInOneAttempt) {
  const auto hosts = single_hosts(Conninfo::parse("postgresql://eve:x@db1:5433,db2/shop"));
  ASSERT_EQ(hosts.size(), 2U);
  EXPECT_EQ(hosts[0].get("host"), "db1");
  EXPECT_EQ(hosts[0].get("port"), "5433");
  EXPECT_EQ(hosts[1].get("host"), "db2");
  EXPECT_EQ(hosts[1].get("port"), "");
  EXPECT_EQ(hosts[1].get("password"), "x");
}

TEST(SingleHosts, OnePortServesAllAndAddressesBelongToNames) {
  const auto hosts = single_hosts(Conninfo::parse("host=a,b hostaddr=10.0.0.1,10.0.0.2 port=5433"));
  ASSERT_EQ(hosts.size(), 2U);
  EXPECT_EQ(hosts[1].get("hostaddr"), "10.0.0.2");
  EXPECT_EQ(hosts[1].get("port"), "5433");
}

TEST(SingleHosts, LeavesAloneWhatIsOneOrDoesNotFit) {
  for (const char* text : {"dbname=x", "host=a", "host=/run/pg port=5433", "host=a,b,c port=1,2",
                           "host=a,b hostaddr=10.0.0.1"}) {
    const auto hosts = single_hosts(Conninfo::parse(text));
    ASSERT_EQ(hosts.size(), 1U) << text;
    EXPECT_EQ(hosts[0].options(), Conninfo::parse(text).options()) << text;
  }
}

TEST(SingleHosts, LooksForAStandbyOnAllBeforeItTakesAnother) {
  const auto hosts = single_hosts(Conninfo::parse("host=a,b target_session_attrs=prefer-standby"));
  ASSERT_EQ(hosts.size(), 4U);
  EXPECT_EQ(hosts[1].get("host"), "b");
  EXPECT_EQ(hosts[1].get("target_session_attrs"), "standby");
  EXPECT_EQ(hosts[2].get("host"), "a");
  EXPECT_EQ(hosts[2].get("target_session_attrs"), "any");
}

TEST(Conninfo, SaysWhatIsWrongAndKeepsThePassword) {
  for (const char* text :
       {"postgresql://eve:hunter2@[::1/x", "postgresql://eve:hunter2@db:port/x",
        "host=db passwort=hunter2 =", "postgresql://eve:hunter2@db/x?nonsense=1",
        "postgresql://eve:hunter2@db:0/x", "postgresql://eve:hunter2@db:70000/x", "password='hunter2"}) {
    const std::string message = refusal(text);
    EXPECT_TRUE(contains(message, "malformed")) << text << ": " << message;
    EXPECT_FALSE(contains(message, "hunter2")) << text << ": " << message;
  }
}

TEST(Conninfo, RedactsEveryPasswordOfAText) {
  for (const char* text :
       {"postgresql://eve:hunter2@db/x", "postgresql://eve:hun@ter:2/hunter2@db/x",
        "host=db password=hunter2 port=1", "host=db PASSWORD = 'hunter2 \\' hunter2' port=1",
        "sslpassword=hunter2", "postgresql://db/x?password=hunter2&application_name=a:b@c",
        "postgresql://a:hunter2@b postgresql://c:hunter2@d",
        "password=hunter2 postgresql://eve:hunter2@db/x password='hunter2"}) {
    EXPECT_FALSE(contains(redact_password(text), "hunter2")) << text << " > " << redact_password(text);
  }
  EXPECT_EQ(redact_password("postgresql://eve:hunter2@db:5432/x"), "postgresql://eve:***@db:5432/x");
  EXPECT_EQ(redact_password("host=db password=hunter2 port=1"), "host=db password=*** port=1");
  EXPECT_EQ(redact_password("postgresql://db:5432/x, no password"), "postgresql://db:5432/x, no password");
}

TEST(ConnectFailure, TakesTheCodeOutOfALocalisedReportAndNamesTheRemedy) {
  const ErrorInfo info = explain_connect_failure(
      "connection to server at \"db\" (10.0.0.1), port 5432 failed: FATAL:  28P01: password authentication "
      "failed for "
      "user \"eve\"\nLOCATION:  auth_failed, auth.c:326\n",
      Conninfo::parse("postgresql://eve:hunter2@db/x"));
  EXPECT_EQ(info.kind, ErrorKind::connect);
  EXPECT_EQ(info.sqlstate, "28P01");
  EXPECT_EQ(
      info.message,
      "cannot connect to postgresql://eve@db/x: connection to server at \"db\" (10.0.0.1), port 5432 failed: "
      "FATAL: password authentication failed for user \"eve\"");
  EXPECT_TRUE(contains(info.hint, "password"));
}

struct Report {
  const char* text;
  const char* remedy;
};

class EveryReport : public ::testing::TestWithParam<Report> {};

TEST_P(EveryReport, HasItsRemedy) {
  const Conninfo conninfo = Conninfo::parse("postgresql://eve@db/x");
  EXPECT_TRUE(contains(explain_connect_failure(GetParam().text, conninfo).hint, GetParam().remedy))
      << explain_connect_failure(GetParam().text, conninfo).hint;
}

INSTANTIATE_TEST_SUITE_P(
    Reports, EveryReport,
    ::testing::Values(Report{"failed: FATAL:  3D000: database \"x\" does not exist", "createdb"},
                      Report{"failed: FATAL:  53300: sorry, too many clients already", "max_connections"},
                      Report{"failed: FATAL:  57P03: the database system is starting up", "try again"},
                      Report{"failed: FATAL:  28000: no pg_hba.conf entry for host", "pg_hba.conf"},
                      Report{"connection to server on socket \"/x\" failed: No such file or directory",
                             "weir db start"},
                      Report{"port 5432 failed: Connection refused", "start it"},
                      Report{"could not translate host name \"db\" to address", "host name"},
                      Report{"port 5432 failed: Connection timed out", "firewall"},
                      Report{"fe_sendauth: no password supplied", "PGPASSWORD"},
                      Report{"server does not support SSL, but SSL was required", "sslmode"},
                      Report{"failed: FATAL:  42501: permission denied for database \"x\"", "GRANT CONNECT"},
                      Report{"failed: FATAL:  55000: database \"x\" is not currently accepting connections",
                             "choose another"},
                      Report{"failed: FATAL:  28P01: password authentication failed", "PGPASSWORD"},
                      Report{"port 5432 failed: Network is unreachable", "no route"},
                      Report{"port 5432 failed: No route to host", "no route"},
                      Report{"connection to server on socket \"/x\" failed: Permission denied", "use TCP"},
                      Report{"port 5432 failed: session is read-only", "primary"},
                      Report{"SSL error: certificate verify failed", "sslrootcert"},
                      Report{"server closed the connection unexpectedly", "no PostgreSQL server"},
                      Report{"something that nobody has seen", "server's log"}));

TEST(Error, KindsOfSqlstates) {
  EXPECT_EQ(kind_of_sqlstate("40001"), ErrorKind::retryable);
  EXPECT_EQ(kind_of_sqlstate("40P01"), ErrorKind::retryable);
  EXPECT_EQ(kind_of_sqlstate("40003"), ErrorKind::server);
  EXPECT_EQ(kind_of_sqlstate("55P03"), ErrorKind::lock_timeout);
  EXPECT_EQ(kind_of_sqlstate("57014"), ErrorKind::cancelled);
  EXPECT_EQ(kind_of_sqlstate("57P01"), ErrorKind::server);  // raised by a function, not said in farewell
  EXPECT_EQ(kind_of_sqlstate("08006"), ErrorKind::server);
  EXPECT_EQ(kind_of_sqlstate("23505"), ErrorKind::server);
}

TEST(Error, InDoubtIsNoConnectionLost) {
  try {
    raise({.kind = ErrorKind::in_doubt, .message = "?"});
  } catch (const ConnectionLost&) {
    FAIL() << "who retries lost transactions would repeat this one";
  } catch (const InDoubt& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::database);
  }
}

TEST(Error, SaysWhatIsKnown) {
  const Error error(
      {.message = "no", .sqlstate = "23505", .detail = "Key exists.", .hint = "do", .query = "claim"});
  EXPECT_STREQ(error.what(), "no [23505]; Key exists. (query claim)");
  EXPECT_EQ(error.remedy(), "do");
}

TEST(Role, NamesFitPostgres) {
  EXPECT_EQ(application_name(Role::group, "host-1"), "weir:group:host-1");
  const std::string cut = application_name(Role::poll, std::string(51, 'x') + "žžžž");
  EXPECT_LE(cut.size(), 63U);
  EXPECT_TRUE(cut.ends_with("ž") || cut.ends_with("x")) << "cut inside a character";
}

TEST(Budget, SpeaksItsArithmetic) {
  const Budget budget{.lines = {{Role::poll, 1}, {Role::recovery, 1}, {Role::group, 16}}, .processes = 3};
  EXPECT_EQ(budget.arithmetic(), "poll 1 + recovery 1 + group 16 = 18 sessions x 3 processes = 54");
  EXPECT_FALSE(check_budget(budget, {.max_connections = 57, .reserved = 3}));
  const auto refusal = check_budget(budget, {.max_connections = 56, .reserved = 3});
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->exit_code(), ExitCode::refused);
  EXPECT_TRUE(
      contains(refusal->what(), "= 54, but the server leaves 53 (max_connections 56 - reserved 3 = 53)"))
      << refusal->what();
  EXPECT_TRUE(check_budget(budget, {.max_connections = 100, .reserved = 3, .role_limit = 53}));
  EXPECT_TRUE(check_budget(budget, {.max_connections = 100, .reserved = 3, .database_limit = 0}));
  EXPECT_EQ(available_sessions({.max_connections = 2, .reserved = 3}), 0);
}

}  // namespace
}  // namespace weir::pg
