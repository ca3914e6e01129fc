#include <thread>

#include <gtest/gtest.h>

#include "pg/transaction.h"
#include "support/database.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using test::PgTest;

class TransactionTest : public PgTest {
 protected:
  void SetUp() override {
    PgTest::SetUp();
    session().execute("CREATE TABLE note (text text)");
  }
  std::int64_t notes() { return session().execute("SELECT count(*) FROM note")[0].get<std::int64_t>(0); }

  /// From now on a COMMIT of a note waits, as long as the caller holds advisory lock 1.
  void make_commits_wait() {
    session().execute_script(
        "CREATE FUNCTION wait_for_gate() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION wait_for_gate()");
  }
};

TEST_F(TransactionTest, CommitKeepsAndTheEndOfTheScopeUndoes) {
  Session session = this->session();
  {
    Transaction transaction(session);
    session.execute("INSERT INTO note VALUES ('kept')");
    transaction.commit();
  }
  {
    const Transaction transaction(session);
    session.execute("INSERT INTO note VALUES ('undone')");
  }
  EXPECT_FALSE(session.in_transaction());
  EXPECT_EQ(notes(), 1);
}

TEST_F(TransactionTest, TheEndOfTheScopeUndoesAFailedTransactionToo) {
  Session session = this->session();
  {
    const Transaction transaction(session);
    EXPECT_THROW(session.execute("SELECT 1/0"), Error);
  }
  EXPECT_TRUE(session.is_open());
  EXPECT_FALSE(session.in_transaction());
}

TEST_F(TransactionTest, ACommitThatTheServerTurnsIntoARollbackIsAnError) {
  Session session = this->session();
  Transaction transaction(session);
  session.execute("INSERT INTO note VALUES ('lost')");
  EXPECT_THROW(session.execute("SELECT 1/0"), Error);
  try {
    transaction.commit();
    FAIL() << "a lost transaction looked committed";
  } catch (const Error& error) {
    EXPECT_EQ(error.sqlstate(), "25P02");
  }
  EXPECT_TRUE(session.is_open());
  EXPECT_EQ(notes(), 0);
}

TEST_F(TransactionTest, OneAtATime) {
  Session session = this->session();
  Transaction transaction(session);
  EXPECT_THROW(Transaction second(session), Error);
  transaction.rollback();
  EXPECT_THROW(transaction.commit(), Error);
}

TEST_F(TransactionTest, IsolationAndLocalSettingsHoldForTheTransactionOnly) {
  Session session = this->session();
  {
    Transaction transaction(session, {.isolation = Isolation::repeatable_read, .read_only = true});
    transaction.set_local("lock_timeout", "123ms");
    EXPECT_EQ(session.execute("SHOW transaction_isolation")[0].get<std::string>(0), "repeatable read");
    EXPECT_EQ(session.execute("SHOW lock_timeout")[0].get<std::string>(0), "123ms");
    EXPECT_THROW(session.execute("INSERT INTO note VALUES ('x')"), Error);
  }
  EXPECT_EQ(session.execute("SHOW lock_timeout")[0].get<std::string>(0), "0");
}

TEST_F(TransactionTest, ASessionLostInCommitIsInDoubt) {
  make_commits_wait();
  Session gate = session();
  gate.execute("SELECT pg_advisory_lock(1)");
  Session session = this->session();
  const int pid = session.backend_pid();
  Transaction transaction(session);
  session.execute("INSERT INTO note VALUES ('?')");
  std::jthread killer([&] {
    test::wait_until_blocked(connector(), pid);
    test::terminate_backend(connector(), pid);
  });
  try {
    transaction.commit();
    FAIL() << "the session survived";
  } catch (const InDoubt& error) {
    EXPECT_EQ(error.kind(), ErrorKind::in_doubt);
  }
  EXPECT_FALSE(session.is_open());
}

TEST_F(TransactionTest, AStopDuringCommitIsInDoubtToo) {
  make_commits_wait();
  Session gate = session();
  gate.execute("SELECT pg_advisory_lock(1)");
  Session session = this->session();
  const int pid = session.backend_pid();
  std::stop_source stop;
  session.set_stop(stop.get_token());
  Transaction transaction(session);
  session.execute("INSERT INTO note VALUES ('?')");
  std::jthread stopper([&] {
    test::wait_until_blocked(connector(), pid);
    stop.request_stop();
  });
  EXPECT_THROW(transaction.commit(), InDoubt);
  test::wait_until_gone(connector(), pid);
}

TEST_F(TransactionTest, ASessionKnownToBeLostBeforeCommitIsNotInDoubt) {
  Session session = this->session();
  Transaction transaction(session);
  session.execute("INSERT INTO note VALUES ('gone')");
  test::terminate_backend(connector(), session.backend_pid());
  EXPECT_THROW(session.execute("SELECT 1"), ConnectionLost);
  EXPECT_THROW(transaction.commit(), ConnectionLost);
  EXPECT_EQ(notes(), 0);
}

TEST_F(TransactionTest, ADeferredConstraintFailsTheCommitForCertain) {
  Session session = this->session();
  session.execute("CREATE TABLE one (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
  Transaction transaction(session);
  session.execute("INSERT INTO one VALUES (1), (1)");
  try {
    transaction.commit();
    FAIL() << "the constraint was not checked";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::server);
    EXPECT_EQ(error.sqlstate(), "23505");
  }
  EXPECT_TRUE(session.is_open());
}

TEST_F(TransactionTest, AStopBeforeCommitLeavesNoDoubt) {
  Session session = this->session();
  std::stop_source stop;
  {
    Transaction transaction(session);
    session.execute("INSERT INTO note VALUES ('undone')");
    session.set_stop(stop.get_token());
    stop.request_stop();
    EXPECT_THROW(transaction.commit(), Cancelled);
  }
  EXPECT_EQ(notes(), 0);
}

}  // namespace
}  // namespace weir::pg
