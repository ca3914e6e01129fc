// The looks for what a test leaves behind, which no other test can see fail.
#include <algorithm>
#include <csignal>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "exec/spawn.h"
#include "pg/transaction.h"
#include "support/database.h"
#include "support/processes.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

/// A test of its own, run inside another one.
class Inner : public PgTest {
 public:
  using PgTest::connector;
  using PgTest::database;
  using PgTest::patience_;
  using PgTest::SetUp;
  using PgTest::TearDown;
  Inner() { patience_ = 50ms; }

 private:
  void TestBody() override {}
};

/// What the inner test's end has to say.
std::string complaints(Inner& inner) {
  ::testing::TestPartResultArray results;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    inner.TearDown();
  }
  std::string text;
  for (int i = 0; i < results.size(); ++i) text += results.GetTestPartResult(i).message();
  return text;
}

TEST(PgTestItself, FindsNothingAfterATestThatCleanedUp) {
  Inner inner;
  inner.SetUp();
  inner.connector()
      .connect(pg::Role::task, "short")
      .execute_script("CREATE TEMP TABLE t (); SELECT pg_advisory_lock(1)");
  // Its process may need more than the short patience of this test to end.
  inner.patience_ = 5s;
  EXPECT_EQ(complaints(inner), "");
}

TEST(PgTestItself, NamesASessionAndALockThatWereLeft) {
  Inner inner;
  inner.SetUp();
  pg::Session left = inner.connector().connect(pg::Role::task, "forgotten");
  left.execute("SELECT pg_advisory_lock(1, 2)");
  const std::string text = complaints(inner);
  EXPECT_NE(text.find("weir:task:forgotten"), std::string::npos) << text;
  EXPECT_NE(text.find("advisory lock 1 2"), std::string::npos) << text;
}

TEST(PgTestItself, DropsTheDatabaseInAnyCase) {
  Inner inner;
  inner.SetUp();
  pg::Session left = inner.connector().connect(pg::Role::task, "forgotten");
  EXPECT_NE(complaints(inner), "");
  pg::Session admin = pg::Connector(TestServer::shared().conninfo()).connect(pg::Role::api, "test");
  EXPECT_FALSE(
      admin.execute("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", inner.database())[0]
          .get<bool>(0));
}

TEST(TestServerItself, ComesBackAfterItWasKilledAndAfterItWasFrozen) {
  TestServer server;
  const pg::Connector connector(server.conninfo());
  pg::Session session = connector.connect(pg::Role::api, "test");
  session.execute("CREATE TABLE public.kept AS SELECT 7 AS n");
  session.execute("CHECKPOINT");

  session.set_timeout(100ms);
  server.freeze();
  EXPECT_THROW(session.execute("SELECT 1"), pg::ConnectionLost);
  server.thaw();
  EXPECT_TRUE(connector.connect(pg::Role::api, "test").is_open());

  server.kill();
  EXPECT_THROW(static_cast<void>(connector.connect(pg::Role::api, "test")), pg::ConnectionLost);
  server.start();
  pg::Session after = pg::Connector(server.tcp_conninfo()).connect(pg::Role::api, "test");
  EXPECT_EQ(after.execute("SELECT n FROM public.kept")[0].get<std::int32_t>(0), 7);

  server.configure({{"max_prepared_transactions", "7"}});
  server.restart();
  pg::Session configured = connector.connect(pg::Role::api, "test");
  EXPECT_EQ(configured.execute("SHOW max_prepared_transactions")[0].get<std::string>(0), "7");
}

TEST(Processes, SeesAChildAndWhatItIs) {
  exec::Command command;
  command.argv = {"sleep", "1000"};
  const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const pid_t child = exec::spawn_child(command, {nothing.get(), nothing.get(), nothing.get()});
  const auto children = children_of(::getpid());
  EXPECT_NE(std::find(children.begin(), children.end(), child), children.end());
  // The kernel closes what tells us of exec a moment before it knows the new arguments.
  wait_until([&] { return describe_process(child).find("sleep 1000") != std::string::npos; },
             "the arguments of the child");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const auto later = children_of(::getpid());
  EXPECT_EQ(std::find(later.begin(), later.end(), child), later.end());
}

}  // namespace
}  // namespace weir::test
