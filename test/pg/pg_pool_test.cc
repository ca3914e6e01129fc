#include <latch>
#include <thread>

#include <gtest/gtest.h>

#include "base/manual_clock.h"
#include "pg/pool.h"
#include "pg/transaction.h"
#include "support/database.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using namespace std::chrono_literals;
using test::PgTest;

class PoolTest : public PgTest {
 protected:
  [[nodiscard]] PoolOptions options(std::size_t size, std::size_t overflow = 0) const {
    return {.name = "test", .role = Role::task, .size = size, .overflow = overflow};
  }
  [[nodiscard]] Pool pool(PoolOptions options) const {
    return {std::make_shared<const Connector>(users_connector()), std::move(options)};
  }
  static std::int64_t number(Session& session, const std::string& sql) {
    return session.execute(sql)[0].get<std::int64_t>(0);
  }
};

TEST_F(PoolTest, KeepsItsSessionsAndTheirPreparedQueriesWhenReturnedClean) {
  Pool pool = this->pool(options(1));
  constexpr Query one{"pool_test_one", "SELECT 1", {}, {}};
  Params none;
  Lease first = pool.lease();
  const int pid = first->backend_pid();
  first->run(one, none);
  std::move(first).return_clean();
  Lease second = pool.lease();
  EXPECT_EQ(second->backend_pid(), pid);
  EXPECT_TRUE(second->is_prepared(one));
  EXPECT_EQ(pool.stats().opened, 1U);
}

/// What one borrower leaves on the session, and a question whose answer would show it to the next.
struct Dirt {
  const char* name;
  const char* make;
  const char* count;
};

class DirtyLease : public PoolTest, public ::testing::WithParamInterface<Dirt> {};

TEST_P(DirtyLease, ReachesNobodyElse) {
  Pool pool = this->pool(options(1));
  int pid = 0;
  {
    Lease dirty = pool.lease();
    pid = dirty->backend_pid();
    dirty->execute_script(GetParam().make);
    ASSERT_GT(number(*dirty, GetParam().count), 0) << "the dirt was not there in the first place";
  }
  Lease next = pool.lease();
  ASSERT_EQ(next->backend_pid(), pid) << "the session was replaced, not cleaned";
  EXPECT_EQ(number(*next, GetParam().count), 0);
  EXPECT_FALSE(next->in_transaction());
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, DirtyLease,
    ::testing::Values(
        Dirt{"AdvisoryLock", "SELECT pg_advisory_lock(7, 7)",
             "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"},
        Dirt{"Listen", "LISTEN something", "SELECT count(*) FROM pg_listening_channels()"},
        Dirt{"Setting", "SET work_mem = '123kB'",
             "SELECT count(*) FROM pg_settings WHERE name = 'work_mem' AND source = 'session'"},
        Dirt{"TemporaryTable", "CREATE TEMP TABLE mine (n int)",
             "SELECT count(*) FROM pg_class WHERE relname = 'mine' AND pg_table_is_visible(oid)"},
        Dirt{"OpenTransaction", "BEGIN; SET LOCAL work_mem = '123kB'; SELECT pg_advisory_xact_lock(8)",
             "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"},
        Dirt{"PreparedStatement", "PREPARE mine AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements"},
        Dirt{"Cursor", "BEGIN; DECLARE mine CURSOR WITH HOLD FOR SELECT 1; COMMIT",
             "SELECT count(*) FROM pg_cursors WHERE name = 'mine'"},
        Dirt{"Role",
             "CREATE ROLE weir_test_other; SET ROLE weir_test_other; RESET ROLE; "
             "SET SESSION AUTHORIZATION weir_test_other; RESET SESSION AUTHORIZATION; "
             "DROP ROLE weir_test_other; SET search_path = nowhere",
             "SELECT count(*) FROM pg_settings WHERE name = 'search_path' AND source = 'session'"}),
    [](const auto& kind) { return kind.param.name; });

TEST_F(PoolTest, AnOpenTransactionIsCleanedEvenWhenReturnedClean) {
  Pool pool = this->pool(options(1));
  Lease lease = pool.lease();
  lease->execute("BEGIN");
  lease->execute("CREATE TABLE never ()");
  std::move(lease).return_clean();
  Lease next = pool.lease();
  EXPECT_FALSE(next->in_transaction());
  EXPECT_EQ(number(*next, "SELECT count(*) FROM pg_class WHERE relname = 'never'"), 0);
}

TEST_F(PoolTest, TimeoutAndStopOfOneBorrowerDoNotReachTheNext) {
  Pool pool = this->pool(options(1));
  std::stop_source stop;
  {
    Lease lease = pool.lease();
    lease->set_timeout(1ns);
    lease->set_stop(stop.get_token());
    std::move(lease).return_clean();
  }
  stop.request_stop();
  EXPECT_EQ(number(*pool.lease(), "SELECT 1::int8"), 1);
}

TEST_F(PoolTest, ExhaustedAfterABoundedWaitWithTheFigures) {
  PoolOptions few = options(1, 1);
  few.wait = 1ms;
  Pool pool = this->pool(few);
  const Lease first = pool.lease();
  const Lease second = pool.lease();
  try {
    const Lease third = pool.lease();
    FAIL() << "a third session";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::exhausted);
    EXPECT_EQ(error.exit_code(), ExitCode::database);
    EXPECT_NE(std::string(error.what()).find("connecting 0, active 2, idle 0, max 2"), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(pool.stats().exhausted, 1U);
  EXPECT_EQ(pool.stats().waiting, 0U);
}

TEST_F(PoolTest, TheLineOfWaitersIsBounded) {
  PoolOptions narrow = options(1);
  narrow.max_waiters = 1;
  narrow.wait = 60s;
  Pool pool = this->pool(narrow);
  Lease held = pool.lease();
  std::jthread waiter([&] { std::move(pool.lease()).return_clean(); });
  test::wait_until([&] { return pool.stats().waiting == 1; }, "the waiter to stand in line");
  EXPECT_THROW((void)pool.lease(), Error);
  std::move(held).return_clean();
}

TEST_F(PoolTest, StopEndsTheWait) {
  PoolOptions slow = options(1);
  slow.wait = 600s;
  Pool pool = this->pool(slow);
  const Lease held = pool.lease();
  std::stop_source stop;
  std::jthread stopper([&] {
    test::wait_until([&] { return pool.stats().waiting == 1; }, "the waiter to stand in line");
    stop.request_stop();
  });
  EXPECT_THROW((void)pool.lease({.stop = stop.get_token()}), Cancelled);
}

TEST_F(PoolTest, OverflowIsClosedOnReturnAndKeptSessionsAreNot) {
  Pool pool = this->pool(options(1, 2));
  {
    const Lease one = pool.lease();
    const Lease two = pool.lease();
    const Lease three = pool.lease();
    EXPECT_EQ(pool.stats().active, 3U);
  }
  EXPECT_EQ(pool.stats().idle, 1U);
  EXPECT_EQ(pool.stats().discarded, 2U);
}

TEST_F(PoolTest, AnIdleSessionThatTheServerClosedIsReplaced) {
  Pool pool = this->pool(options(1));
  Lease lease = pool.lease();
  const int pid = lease->backend_pid();
  std::move(lease).return_clean();
  test::terminate_backend(connector(), pid);
  EXPECT_EQ(number(*pool.lease(), "SELECT 1::int8"), 1);
  EXPECT_EQ(pool.stats().opened, 2U);
}

TEST_F(PoolTest, ALostSessionMakesRoom) {
  PoolOptions small = options(1);
  small.wait = 20s;
  Pool pool = this->pool(small);
  Lease lease = pool.lease();
  std::jthread waiter([&] { EXPECT_EQ(number(*pool.lease(), "SELECT 1::int8"), 1); });
  test::wait_until([&] { return pool.stats().waiting == 1; }, "the waiter to stand in line");
  test::terminate_backend(connector(), lease->backend_pid());
  EXPECT_THROW(lease->execute("SELECT 1"), ConnectionLost);
  { const Lease gone = std::move(lease); }
}

TEST_F(PoolTest, AnOldSessionIsReplacedWhenItComesBack) {
  ManualClock clock;
  PoolOptions aging = options(1);
  aging.clock = &clock;
  aging.max_lifetime = 10min;
  Pool pool = this->pool(aging);
  std::move(pool.lease()).return_clean();
  clock.advance(9min);
  std::move(pool.lease()).return_clean();
  EXPECT_EQ(pool.stats().opened, 1U);
  clock.advance(2min);
  std::move(pool.lease()).return_clean();
  std::move(pool.lease()).return_clean();
  EXPECT_EQ(pool.stats().opened, 2U);
}

TEST_F(PoolTest, AFailedConnectPassesTheTurnOn) {
  Conninfo wrong = connector().conninfo();
  wrong.set("dbname", "no such database");
  Pool pool(std::make_shared<const Connector>(wrong), options(1));
  for (int i = 0; i < 3; ++i) {
    try {
      (void)pool.lease();
      FAIL() << "connected to nothing";
    } catch (const ConnectionLost& error) {
      EXPECT_EQ(error.sqlstate(), "3D000");
    }
  }
  EXPECT_EQ(pool.stats().connecting, 0U);
}

TEST_F(PoolTest, CloseAllReplacesEverySession) {
  Pool pool = this->pool(options(2));
  Lease out = pool.lease();
  std::move(pool.lease()).return_clean();
  pool.close_all();
  EXPECT_EQ(pool.stats().idle, 0U);
  std::move(out).return_clean();
  EXPECT_EQ(pool.stats().idle, 0U) << "a session from before close_all() was kept";
}

TEST_F(PoolTest, ALeaseMayOutliveThePool) {
  std::optional<Lease> lease;
  {
    Pool pool = this->pool(options(1));
    lease.emplace(pool.lease());
  }
  EXPECT_EQ(number(**lease, "SELECT 1::int8"), 1);
}

TEST_F(PoolTest, AMovedLeaseReturnsOnce) {
  Pool pool = this->pool(options(2));
  Lease first = pool.lease();
  Lease second = pool.lease();
  first = std::move(second);
  EXPECT_EQ(pool.stats().active, 1U);
  EXPECT_EQ(pool.stats().idle, 1U);
}

TEST_F(PoolTest, ManyThreadsNeverExceedTheMaximum) {
  constexpr int kThreads = 8;
  PoolOptions busy = options(2, 1);
  busy.wait = 60s;
  Pool pool = this->pool(busy);
  Session counter = session();
  counter.execute("CREATE TABLE seen (sessions int8)");
  std::latch ready(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        ready.arrive_and_wait();
        for (int i = 0; i < 50; ++i) {
          Lease lease = pool.lease();
          // A session that was hung up on may still be ending: only those in a statement count.
          lease->execute(
              "INSERT INTO seen SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
              "AND application_name = 'weir:task:test' AND state = 'active'");
          if ((i + t) % 3 == 0) {
            lease->execute("BEGIN");
          } else if ((i + t) % 7 == 0) {
            lease->close();
          } else {
            std::move(lease).return_clean();
          }
        }
      });
    }
  }
  EXPECT_LE(number(counter, "SELECT max(sessions) FROM seen"), 3);
  EXPECT_EQ(number(counter, "SELECT count(*) FROM seen"), kThreads * 50);
  const PoolStats stats = pool.stats();
  EXPECT_EQ(stats.active, 0U);
  EXPECT_EQ(stats.waiting, 0U);
  EXPECT_EQ(stats.leased, static_cast<std::uint64_t>(kThreads * 50));
  EXPECT_EQ(stats.opened - stats.discarded, stats.idle);
  EXPECT_EQ(pool.waits().count(), stats.leased);
}

}  // namespace
}  // namespace weir::pg
