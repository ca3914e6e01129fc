#include <cstdlib>

#include <gtest/gtest.h>

#include "pg/pooler.h"
#include "support/database.h"
#include "support/tcp_gate.h"

namespace weir::pg {
namespace {

using namespace std::chrono_literals;
using test::PgTest;

class ConnectorTest : public PgTest {
 protected:
  /// What connecting with `change` applied to the TCP connection string reports.
  template <class Change>
  Error failure(Change&& change) {
    Conninfo conninfo = tcp_conninfo();
    change(conninfo);
    try {
      (void)Connector(conninfo).connect(Role::api, "test");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::connect) << error.what();
      EXPECT_EQ(error.exit_code(), ExitCode::database);
      EXPECT_NE(error.remedy(), "") << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos)
          << "not one paragraph: " << error.what();
      return error;
    }
    throw std::runtime_error("it connected");
  }
};

TEST_F(ConnectorTest, AWrongPasswordIsSaidWithoutThePassword) {
  const Error error = failure([](Conninfo& conninfo) { conninfo.set("password", "secret!"); });
  EXPECT_EQ(error.sqlstate(), "28P01");
  EXPECT_EQ(std::string(error.what()).find("secret!"), std::string::npos) << error.what();
  EXPECT_NE(error.remedy().find("password"), std::string::npos);
}

TEST_F(ConnectorTest, AnUnknownDatabaseIsNamed) {
  const Error error = failure([](Conninfo& conninfo) { conninfo.set("dbname", "nowhere"); });
  EXPECT_EQ(error.sqlstate(), "3D000");
  EXPECT_NE(std::string(error.what()).find("nowhere"), std::string::npos);
  EXPECT_NE(error.remedy().find("createdb"), std::string::npos);
}

TEST_F(ConnectorTest, AClosedPortIsRefused) {
  const Error error =
      failure([](Conninfo& conninfo) { conninfo.set("port", std::to_string(test::free_port())); });
  EXPECT_NE(error.remedy().find("No server listens there"), std::string::npos) << error.remedy();
}

TEST_F(ConnectorTest, AMissingSocketNamesTheWayToStartOne) {
  const Error error = failure([](Conninfo& conninfo) { conninfo.set("host", "/nonexistent/folder"); });
  EXPECT_NE(error.remedy().find("weir db start"), std::string::npos) << error.remedy();
}

TEST_F(ConnectorTest, AnUnknownHostIsSaid) {
  const Error error = failure([](Conninfo& conninfo) { conninfo.set("host", "no-such-host.invalid"); });
  EXPECT_NE(error.remedy().find("host name"), std::string::npos) << error.what();
}

TEST_F(ConnectorTest, AFullServerIsSaid) {
  session().execute("ALTER DATABASE " + database() + " CONNECTION LIMIT 0");
  session().execute("CREATE ROLE weir_test_plain LOGIN PASSWORD 'x'");  // superusers pass every limit
  const Error error =
      failure([](Conninfo& conninfo) { conninfo.set("user", "weir_test_plain").set("password", "x"); });
  session().execute("DROP ROLE weir_test_plain");
  EXPECT_EQ(error.sqlstate(), "53300");
}

TEST_F(ConnectorTest, ASecondHostServesWhenTheFirstIsDown) {
  Conninfo conninfo = tcp_conninfo();
  conninfo.set("host", "127.0.0.1,127.0.0.1")
      .set("port",
           std::to_string(test::free_port()) + "," + std::to_string(test::TestServer::shared().port()));
  EXPECT_TRUE(Connector(conninfo).connect(Role::api, "test").is_open());
}

TEST_F(ConnectorTest, ASilentFirstHostUsesItsShareOnly) {
  test::TcpGate gate(test::TestServer::shared().port());
  gate.stop_accepting();
  Conninfo conninfo = tcp_conninfo();
  conninfo.set("host", "127.0.0.1,127.0.0.1")
      .set("port", std::to_string(gate.port()) + "," + std::to_string(test::TestServer::shared().port()))
      .set("connect_timeout", "1000");
  // On a busy machine half of it may be too little for the second.
  bool connected = false;
  for (auto span = 4s; !connected && span < 1min; span *= 2) {
    try {
      connected = Connector(conninfo).connect(Role::api, "test", Limit::within(span)).is_open();
    } catch (const ConnectionLost&) {
      connected = false;
    }
  }
  EXPECT_TRUE(connected);
}

TEST_F(ConnectorTest, AWrongPasswordIsNotTriedOnTheNextHost) {
  test::TcpGate second(test::TestServer::shared().port());
  const Error error = failure([&](Conninfo& conninfo) {
    conninfo.set("host", "127.0.0.1,127.0.0.1")
        .set("port", std::to_string(test::TestServer::shared().port()) + "," + std::to_string(second.port()))
        .set("password", "wrong");
  });
  EXPECT_EQ(error.sqlstate(), "28P01");
  EXPECT_EQ(second.counts().accepted, 0U);
}

TEST_F(ConnectorTest, EveryHostThatFailedIsNamed) {
  const int first = test::free_port();
  const int second = test::free_port();
  const Error error = failure([&](Conninfo& conninfo) {
    conninfo.set("host", "127.0.0.1,localhost")
        .set("port", std::to_string(first) + "," + std::to_string(second));
  });
  const std::string text = error.what();
  EXPECT_NE(text.find(std::to_string(first)), std::string::npos) << text;
  EXPECT_NE(text.find(std::to_string(second)), std::string::npos) << text;
}

std::string search_path(Session& session) {
  return session.execute("SELECT current_setting('search_path')")[0].get<std::string>(0);
}

TEST_F(ConnectorTest, NothingOfAUsersSchemaIsTakenForPostgreSQLsOwn) {
  // Nearer to count(..) and to the operator than PostgreSQL's own, and in front of it.
  session().execute_script(
      "CREATE SCHEMA trap; CREATE FUNCTION trap.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'caught' "
      "$$;"
      "CREATE FUNCTION trap.add(int, int) RETURNS int LANGUAGE sql AS 'SELECT 666';"
      "CREATE OPERATOR trap.+ (FUNCTION = trap.add, LEFTARG = int, RIGHTARG = int);");
  session().execute("ALTER DATABASE " + database() + " SET search_path = trap, pg_catalog");
  const auto answers = [](Session& session) {
    return session.execute("SELECT concat_ws(' ', lower('A'), 1 + 1)")[0].get<std::string>(0);
  };
  Session users = session();
  EXPECT_EQ(answers(users), "caught 666");

  Session own = connector().connect(Role::api, "test");
  EXPECT_EQ(answers(own), "a 2");
  own.execute("CREATE TEMPORARY VIEW pg_class AS SELECT 1 AS mine");
  EXPECT_EQ(own.execute("SELECT count(*) > 1 FROM pg_class")[0].get<bool>(0), true);
  own.execute("SET search_path = trap");
  own.execute("DISCARD ALL");
  EXPECT_EQ(answers(own), "a 2");
}

TEST_F(ConnectorTest, OptionsOfTheConnectionStringStay) {
  Conninfo conninfo = tcp_conninfo();
  conninfo.set("options", "-c work_mem=1234kB -c search_path=public");
  Session own = Connector(conninfo).connect(Role::api, "test");
  EXPECT_EQ(search_path(own), "pg_catalog,pg_temp");
  EXPECT_EQ(own.execute("SELECT current_setting('work_mem')")[0].get<std::string>(0), "1234kB");
  Session users = Connector(conninfo, {.users_search_path = true}).connect(Role::api, "test");
  EXPECT_EQ(search_path(users), "public");
}

TEST_F(ConnectorTest, TheEnvironmentsOptionsStay) {
  ::setenv("PGOPTIONS", "-c work_mem=1235kB", 1);
  Session own = connector().connect(Role::api, "test");
  ::unsetenv("PGOPTIONS");
  EXPECT_EQ(search_path(own), "pg_catalog,pg_temp");
  EXPECT_EQ(own.execute("SELECT current_setting('work_mem')")[0].get<std::string>(0), "1235kB");
}

TEST_F(ConnectorTest, ThePrivateServerIsNoPooler) { EXPECT_EQ(detect_pooling(connector()), Pooling::none); }

}  // namespace
}  // namespace weir::pg
