#include <array>
#include <thread>

#include <gtest/gtest.h>

#include "pg/copy.h"
#include "pg/pipeline.h"
#include "pg/transaction.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using namespace std::chrono_literals;

constexpr std::array<Oid, 1> kInt8{oid::kInt8};
constexpr Query kInsert{"chaos_insert", "INSERT INTO event VALUES ($1)", kInt8, {}};

/// Tests that kill the server: it is theirs alone.
class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Session session = this->session();
    session.set("synchronous_commit", "on");  // so that the table itself survives the kill
    session.execute("CREATE TABLE event (id int8)");
  }
  [[nodiscard]] Connector connector() const { return {server_.conninfo(), {.users_search_path = true}}; }
  [[nodiscard]] Session session() const { return connector().connect(Role::api, "test"); }

  test::TestServer server_;
};

TEST_F(ServerTest, KilledInMidCopyPipelineAndTransactionItIsALossEverywhere) {
  Session copying = session();
  CopyIn copy(copying, "COPY event FROM STDIN");
  copy.write("1\n");
  Session piping = session();
  Pipeline pipeline(piping, {&kInsert});
  Params params = Params::of(std::int64_t{1});
  pipeline.run(kInsert, params);
  Session holding = session();
  Transaction transaction(holding);
  holding.execute("INSERT INTO event VALUES (1)");
  Session idle = session();

  server_.kill();
  EXPECT_THROW(
      {
        for (;;) copy.write(std::string(1000, '1') + "\n");
      },
      ConnectionLost);
  EXPECT_THROW(pipeline.finish(), ConnectionLost);
  EXPECT_THROW(holding.execute("SELECT 1"), ConnectionLost);
  EXPECT_THROW(idle.execute("SELECT 1"), ConnectionLost);

  server_.start();
  EXPECT_EQ(session().execute("SELECT count(*) FROM event")[0].get<std::int64_t>(0), 0);
}

TEST_F(ServerTest, KilledInMidCommitItIsInDoubt) {
  session().execute_script(
      "CREATE FUNCTION wait_for_gate() RETURNS trigger LANGUAGE plpgsql AS "
      "$$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;"
      "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED "
      "FOR EACH ROW EXECUTE FUNCTION wait_for_gate()");
  Session gate = session();
  gate.execute("SELECT pg_advisory_lock(1)");
  Session session = this->session();
  const int pid = session.backend_pid();
  Transaction transaction(session);
  session.execute("INSERT INTO event VALUES (1)");
  std::jthread killer([&] {
    test::wait_until_blocked(connector(), pid);
    server_.kill();
  });
  EXPECT_THROW(transaction.commit(), InDoubt);
}

TEST_F(ServerTest, ThatHangsWithoutAWordIsLeftAtTheDeadline) {
  Session session = this->session();
  session.set_timeout(20ms);
  server_.freeze();
  EXPECT_THROW(session.execute("SELECT 1"), ConnectionLost);
  EXPECT_THROW((void)connector().connect(Role::api, "late", Limit::within(20ms)), ConnectionLost);
  server_.thaw();
  EXPECT_EQ(this->session().execute("SELECT 1").rows(), 1);
}

TEST_F(ServerTest, ThatIsShuttingDownOrStartingIsSaidWithItsRemedy) {
  server_.stop();
  try {
    (void)session();
    FAIL() << "connected";
  } catch (const ConnectionLost& error) {
    EXPECT_EQ(error.kind(), ErrorKind::connect);
    EXPECT_NE(error.remedy().find("start it"), std::string::npos) << error.remedy();
  }
  server_.start();
}

}  // namespace
}  // namespace weir::pg
