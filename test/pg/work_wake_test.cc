// The look of one who lies down: nobody who enqueues is missed.

#include <gtest/gtest.h>

#include "schema/queries/work.h"
#include "support/database.h"

namespace weir::work {
namespace {

using UndecidedTest = test::PgTest;

TEST_F(UndecidedTest, ATransactionThatRunsIsWaitedForEvenIfNoneAfterItHasEnded) {
  pg::Session producer = session();
  producer.execute("BEGIN");
  producer.execute("SELECT pg_current_xact_id()");
  pg::Session sleeper = session();
  const auto answer = sleeper.run<sql::UndecidedFrom>();
  const std::string from(answer.one().xid);
  const auto decided = [&] {
    const auto rows = sleeper.run<sql::AllDecided>(from);
    return rows.one().decided;
  };
  EXPECT_FALSE(decided());
  producer.execute("COMMIT");
  EXPECT_TRUE(decided());
}

}  // namespace
}  // namespace weir::work
