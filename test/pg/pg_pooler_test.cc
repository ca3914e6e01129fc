#include <gtest/gtest.h>

#include "pg/group_lock.h"
#include "pg/pipeline.h"
#include "pg/pooler.h"
#include "pg/transaction.h"
#include "support/database.h"
#include "support/errors.h"
#include "support/pgbouncer.h"

namespace weir::pg {
namespace {

using test::PgBouncer;
using test::PgTest;

class PoolerTest : public PgTest {
 protected:
  [[nodiscard]] Connector through(const PgBouncer& bouncer) const {
    return Connector(bouncer.conninfo(database()));
  }
};

TEST_F(PoolerTest, TransactionModeIsFound) {
  const PgBouncer bouncer(PgBouncer::Mode::transaction);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(detect_pooling(through(bouncer)), Pooling::transaction);
}

TEST_F(PoolerTest, StatementModeCountsAsTransactionMode) {
  const PgBouncer bouncer(PgBouncer::Mode::statement);
  EXPECT_EQ(detect_pooling(through(bouncer)), Pooling::transaction);
}

TEST_F(PoolerTest, SessionModeIsFound) {
  const PgBouncer bouncer(PgBouncer::Mode::session);
  EXPECT_EQ(detect_pooling(through(bouncer)), Pooling::session);
}

// A busy pool in transaction mode looks like one in session mode by chance, and locks were taken through it.
TEST_F(PoolerTest, SessionStateIsRefusedWithTheReasonThroughAnyPooler) {
  const auto refusal = [](Pooling pooling) {
    return test::error_of([&] { require_session_state(pooling, "a lock"); });
  };
  EXPECT_EQ(refusal(Pooling::none).exit_code(), ExitCode::ok);
  for (const Pooling pooling : {Pooling::session, Pooling::transaction}) {
    EXPECT_EQ(refusal(pooling).exit_code(), ExitCode::refused);
    EXPECT_TRUE(test::has(refusal(pooling).remedy(), "the server itself")) << refusal(pooling).remedy();
  }
  EXPECT_TRUE(test::has(refusal(Pooling::session).what(), "looks as if in session mode"));
  EXPECT_TRUE(test::has(refusal(Pooling::transaction).what(), "a pooler in transaction mode"));
}

constexpr Query kAnswer{"pooler_test_answer", "SELECT 42", {}, {}};

TEST_F(PoolerTest, NamedQueriesWorkThroughTransactionModeWithoutPreparing) {
  const PgBouncer bouncer(PgBouncer::Mode::transaction);
  Connector::Options options;
  options.session.prepare = false;
  const Connector connector(bouncer.conninfo(database()), options);
  Session one = connector.connect(Role::poll, "test");
  Session two = connector.connect(Role::poll, "test");
  Params none;
  for (int i = 0; i < 5; ++i) {
    const Transaction busy(one);
    EXPECT_EQ(two.run(kAnswer, none)[0].get<std::int32_t>(0), 42);
    EXPECT_EQ(one.run(kAnswer, none)[0].get<std::int32_t>(0), 42);
  }
}

TEST_F(PoolerTest, APoolerThatRefusesTheSearchPathStillConnects) {
  const PgBouncer bouncer(PgBouncer::Mode::session);
  Session session = through(bouncer).connect(Role::api, "test");
  EXPECT_NE(session.execute("SELECT current_setting('search_path')")[0].get<std::string>(0),
            "pg_catalog,pg_temp");
}

TEST_F(PoolerTest, ALockTakenThroughTransactionModeIsNoticedAtTheLatestAtItsRelease) {
  const PgBouncer bouncer(PgBouncer::Mode::transaction);
  const Connector connector = through(bouncer);
  auto lock =
      GroupLock::try_acquire(PinnedSession::open(connector, Role::group, "test"), AdvisoryKey::of(1, "a"));
  ASSERT_TRUE(lock);
  // Another client takes the very server process that holds "our" lock.
  Session other = connector.connect(Role::api, "other");
  const Transaction busy(other);
  EXPECT_THROW((void)std::move(*lock).release(), Error);
}

}  // namespace
}  // namespace weir::pg
