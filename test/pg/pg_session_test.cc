#include <array>
#include <cmath>
#include <future>
#include <limits>
#include <thread>

#include <gtest/gtest.h>

#include "pg/error.h"
#include "pg/make_if_missing.h"
#include "pg/session.h"
#include "support/database.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using namespace std::chrono_literals;
using test::PgTest;

class SessionTest : public PgTest {};

template <class T>
T echo(Session& session, const T& value, const std::string& type) {
  return session.execute("SELECT $1::" + type, value)[0].template get<T>(0);
}

TEST_F(SessionTest, ValuesSurviveTheRoundTripAtTheirExtremes) {
  Session session = this->session();
  EXPECT_EQ(echo(session, true, "bool"), true);
  EXPECT_EQ(echo(session, std::numeric_limits<std::int16_t>::min(), "int2"),
            std::numeric_limits<std::int16_t>::min());
  EXPECT_EQ(echo(session, std::numeric_limits<std::int32_t>::max(), "int4"),
            std::numeric_limits<std::int32_t>::max());
  EXPECT_EQ(echo(session, std::numeric_limits<std::int64_t>::min(), "int8"),
            std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(echo(session, std::numeric_limits<double>::denorm_min(), "float8"),
            std::numeric_limits<double>::denorm_min());
  EXPECT_TRUE(std::isnan(echo(session, std::numeric_limits<double>::quiet_NaN(), "float8")));
  EXPECT_EQ(echo(session, -std::numeric_limits<float>::infinity(), "float4"),
            -std::numeric_limits<float>::infinity());
  EXPECT_EQ(echo(session, std::string(), "text"), "");
  EXPECT_EQ(echo(session, std::string("ž\n\t\\'\"💧"), "text"), "ž\n\t\\'\"💧");
  EXPECT_EQ(echo(session, WallTime::max(), "timestamptz"), WallTime::max());
  EXPECT_EQ(echo(session, WallTime::min(), "timestamptz"), WallTime::min());
  const std::vector<std::optional<std::int64_t>> holes{1, std::nullopt, -3};
  EXPECT_EQ(echo(session, holes, "int8[]"), holes);
  EXPECT_EQ(echo(session, std::vector<std::string>{}, "text[]"), std::vector<std::string>{});
  const std::vector<bool> flags{true, false, true};
  EXPECT_EQ(echo(session, flags, "bool[]"), flags);
}

TEST_F(SessionTest, ValuesMeanTheSameToTheServer) {
  Session session = this->session();
  const Result result = session.execute(
      "SELECT '2026-11-21 03:04:05.678901+00'::timestamptz, '{\"a\": 1}'::jsonb, '\\x00ff'::bytea,"
      "       '01234567-89ab-cdef-0123-456789abcdef'::uuid, NULL::int8, 'infinity'::timestamptz");
  const Row row = result[0];
  EXPECT_EQ(row.get<WallTime>(0),
            WallTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 21)) + 3h + 4min + 5s + 678901us);
  EXPECT_EQ(row.get<JsonView>(1).text, "{\"a\": 1}");
  ASSERT_EQ(row.get<BytesView>(2).data.size(), 2U);
  EXPECT_EQ(row.get<BytesView>(2).data[1], std::byte{0xff});
  EXPECT_EQ(row.get<Uuid>(3).to_string(), "01234567-89ab-cdef-0123-456789abcdef");
  EXPECT_EQ(row.get<std::optional<std::int64_t>>(4), std::nullopt);
  EXPECT_EQ(row.get<WallTime>(5), WallTime::max());
}

TEST_F(SessionTest, AWrongTypeNamesTheColumn) {
  Session session = this->session();
  const Result result = session.execute("SELECT 1::int8 AS large, NULL::text AS missing, 'x'::text AS word");
  const auto message = [&](auto&& read) -> std::string {
    try {
      read();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::decode);
      return error.what();
    }
    return "nothing thrown";
  };
  EXPECT_NE(message([&] { (void)result[0].get<std::int32_t>(0); }).find("\"large\" is int8, not int4"),
            std::string::npos);
  EXPECT_NE(message([&] { (void)result[0].get<std::string>(1); }).find("\"missing\" is NULL"),
            std::string::npos);
  EXPECT_NE(message([&] { (void)result[0].get<bool>(2); }).find("\"word\" is text, not bool"),
            std::string::npos);
  EXPECT_NE(message([&] { (void)result[0].get<bool>(3); }).find("no column 3"), std::string::npos);
  EXPECT_NE(message([&] { (void)result[1].get<bool>(0); }).find("of row 1"), std::string::npos);
}

TEST_F(SessionTest, ServerErrorsKeepTheSessionAndCarryTheirFields) {
  Session session = this->session();
  session.execute("CREATE TABLE thing (id int CONSTRAINT positive CHECK (id > 0))");
  try {
    session.execute("INSERT INTO thing VALUES (-1)");
    FAIL() << "the constraint was not checked";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::server);
    EXPECT_EQ(error.sqlstate(), "23514");
    EXPECT_EQ(error.info().constraint, "positive");
    EXPECT_EQ(error.info().table, "thing");
  }
  EXPECT_TRUE(session.is_open());
  EXPECT_EQ(session.execute("SELECT 1")[0].get<std::int32_t>(0), 1);
  EXPECT_THROW(session.execute("SELECT $1::text", std::string_view("a\0b", 3)), Error);
  EXPECT_TRUE(session.is_open());
}

TEST_F(SessionTest, ALockThatIsNotGrantedInTimeIsALockTimeout) {
  Session holder = session();
  holder.execute("CREATE TABLE held ()");
  holder.execute("BEGIN");
  holder.execute("LOCK held");
  Session waiter = session();
  waiter.set("lock_timeout", "1ms");
  EXPECT_THROW(waiter.execute("LOCK held"), Error);  // LOCK needs a transaction: not a LockTimeout
  waiter.execute("BEGIN");
  EXPECT_THROW(waiter.execute("LOCK held"), LockTimeout);
  EXPECT_TRUE(waiter.is_open());
}

TEST_F(SessionTest, ASerializationFailureIsRetryable) {
  Session first = session();
  first.execute("CREATE TABLE counter AS SELECT 1 AS n");
  Session second = session();
  second.execute("BEGIN ISOLATION LEVEL REPEATABLE READ");
  second.execute("SELECT * FROM counter");
  first.execute("UPDATE counter SET n = n + 1");
  EXPECT_THROW(second.execute("UPDATE counter SET n = n + 1"), Retryable);
}

TEST_F(SessionTest, AnotherThreadMayCancelTheStatementAndTheSessionLives) {
  Session session = this->session();
  const Canceller canceller = session.canceller();
  const int pid = session.backend_pid();
  std::jthread other([&] {
    test::wait_until_active(connector(), pid);
    EXPECT_TRUE(canceller.cancel(60s));
  });
  try {
    session.execute("SELECT pg_sleep(600)");
    FAIL() << "not cancelled";
  } catch (const Cancelled& error) {
    EXPECT_EQ(error.kind(), ErrorKind::cancelled);
  }
  EXPECT_EQ(session.execute("SELECT 1").rows(), 1);
}

TEST_F(SessionTest, AStopEndsTheWaitAndTheStatementOnTheServer) {
  Session session = this->session();
  const int pid = session.backend_pid();
  std::stop_source stop;
  session.set_stop(stop.get_token());
  std::jthread other([&] {
    test::wait_until_active(connector(), pid);
    stop.request_stop();
  });
  try {
    session.execute("SELECT pg_sleep(600)");
    FAIL() << "not stopped";
  } catch (const Cancelled& error) {
    EXPECT_EQ(error.kind(), ErrorKind::stopped);
  }
  EXPECT_FALSE(session.is_open());
  test::wait_until_gone(connector(), pid);
}

TEST_F(SessionTest, AnAnswerThatStaysAwayClosesTheSessionAndEndsTheStatement) {
  Session session = this->session();
  const int pid = session.backend_pid();
  session.set_timeout(1ms);
  try {
    session.execute("SELECT pg_sleep(600)");
    FAIL() << "no deadline";
  } catch (const ConnectionLost& error) {
    EXPECT_EQ(error.kind(), ErrorKind::deadline);
  }
  EXPECT_FALSE(session.is_open());
  EXPECT_THROW(session.execute("SELECT 1"), ConnectionLost);
  test::wait_until_gone(connector(), pid);
}

TEST_F(SessionTest, ATerminatedSessionIsLostWithTheServersReason) {
  Session session = this->session();
  test::terminate_backend(connector(), session.backend_pid());
  try {
    session.execute("SELECT 1");
    FAIL() << "the session survived";
  } catch (const ConnectionLost& error) {
    EXPECT_EQ(error.kind(), ErrorKind::lost);
    EXPECT_EQ(error.sqlstate(), "57P01");
  }
  EXPECT_FALSE(session.is_open());
}

TEST_F(SessionTest, CopyAsAnOrdinaryStatementIsRefusedWithoutAHang) {
  for (const char* sql : {"COPY (SELECT 1) TO STDOUT", "COPY pg_temp.t FROM STDIN"}) {
    Session session = this->session();
    session.execute("CREATE TEMP TABLE t (n int)");
    try {
      session.execute(sql);
      FAIL() << sql;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::misuse) << error.what();
    }
    EXPECT_FALSE(session.is_open());
  }
}

constexpr std::array<Oid, 1> kOneInt{oid::kInt4};
constexpr Query kFromThing{"from_thing", "SELECT * FROM thing WHERE n > $1", kOneInt, {}};

TEST_F(SessionTest, APreparedQueryOutlivesDdlAndDiscard) {
  Session session = this->session();
  session.execute("CREATE TABLE thing AS SELECT 1 AS n");
  Params params = Params::of(0);
  EXPECT_EQ(session.run(kFromThing, params).columns(), 1);
  EXPECT_TRUE(session.is_prepared(kFromThing));
  session.execute("ALTER TABLE thing ADD COLUMN m int");
  EXPECT_EQ(session.run(kFromThing, params).columns(), 2);
  session.execute("DEALLOCATE ALL");
  EXPECT_EQ(session.run(kFromThing, params).columns(), 2);
}

TEST_F(SessionTest, AStalePlanInsideATransactionIsReportedNotRepeated) {
  Session session = this->session();
  session.execute("CREATE TABLE thing AS SELECT 1 AS n");
  Params params = Params::of(0);
  session.run(kFromThing, params);
  session.execute("ALTER TABLE thing ADD COLUMN m int");
  session.execute("BEGIN");
  EXPECT_THROW(session.run(kFromThing, params), Error);
  session.execute("ROLLBACK");
  EXPECT_EQ(session.run(kFromThing, params).columns(), 2);
}

TEST_F(SessionTest, ASecondThreadStopsADebugBuildAtOnce) {
#ifdef WEIR_DEBUG_CHECKS
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Session session = this->session();
        std::jthread([&] { session.execute("SELECT 1"); }).join();
      },
      "a PostgreSQL session belongs to thread");
#else
  GTEST_SKIP() << "only debug builds check the owner";
#endif
}

TEST_F(SessionTest, ShowsItsRoleInTheServersList) {
  const Session session = connector().connect(Role::recovery, "host-1");
  EXPECT_EQ(
      this->session()
          .execute("SELECT application_name FROM pg_stat_activity WHERE pid = $1", session.backend_pid())[0]
          .get<std::string>(0),
      "weir:recovery:host-1");
}

TEST_F(SessionTest, AnOrdinaryErrorWithALossesCodeLosesNothing) {
  Session session = this->session();
  EXPECT_THROW(session.execute("DO $$ BEGIN RAISE EXCEPTION 'far away' USING ERRCODE = '08006'; END $$"),
               Error);
  EXPECT_TRUE(session.is_open());
  EXPECT_EQ(session.execute("SELECT 1").rows(), 1);
}

TEST_F(SessionTest, AZeroByteDoesNotCutAStatementShort) {
  Session session = this->session();
  EXPECT_THROW(session.execute(std::string("CREATE TABLE half ();\0 broken(", 31)), Error);
  EXPECT_THROW(session.execute_script(std::string("SELECT 1;\0 broken(", 18)), Error);
  EXPECT_EQ(session.execute("SELECT FROM pg_class WHERE relname = 'half'").rows(), 0);
}

TEST_F(SessionTest, TheServersLastWordsAreHeardAlsoWhenAWaitHasTakenThemIn) {
  pg::Session admin = session();
  Wakeup unused;
  for (int i = 0; i < 100; ++i) {
    pg::Session idle = session();
    admin.execute("SELECT pg_terminate_backend($1::int4)", idle.backend_pid());
    try {
      idle.wait_readable(Limit::within(std::chrono::seconds(20)), unused);
    } catch (const Error&) {
      continue;  // the connection was closed by then
    }
    ASSERT_FALSE(idle.still_alive()) << "round " << i;
  }
}

TEST_F(SessionTest, OfTwoThatMakeATableAtOnceNeitherFails) {
  const std::string statement = "CREATE TABLE IF NOT EXISTS made (n int)";
  Session first = session();
  first.execute_script("BEGIN; " + statement);
  std::promise<int> pid;
  std::jthread other([&] {
    Session second = session();
    pid.set_value(second.backend_pid());
    EXPECT_NO_THROW(make_if_missing(second, statement));
    EXPECT_EQ(second.execute("SELECT count(*) FROM made")[0].get<std::int64_t>(0), 0);
  });
  test::wait_until_blocked(connector(), pid.get_future().get());
  first.execute("COMMIT");
  other.join();
  EXPECT_THROW(make_if_missing(first, "CREATE TABLE IF NOT EXISTS nowhere.made (n int)"), Error);
}

}  // namespace
}  // namespace weir::pg
