// Limits that come while jobs run, and whatever the user's default isolation is.

#include <gtest/gtest.h>

#include "base/test_signal.h"
#include "queue/admin.h"
#include "queue/claim_marks.h"
#include "schema/queries/jobs.h"
#include "schema/queries/work.h"
#include "support/actions.h"
#include "support/queue_test.h"
#include "support/waiting.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;

class NewLimitTest : public test::QueueTest {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    one_.emplace(own_session());
    const auto answer = one_->run<sql::RegisterProcess>("test", std::int64_t{3'600'000});
    process_ = answer.one().id;
  }
  void TearDown() override {
    one_.reset();
    QueueTest::TearDown();
  }

  [[nodiscard]] pg::Session own_session() const { return connector().connect(pg::Role::poll, "test"); }
  int claim(pg::Session& session, std::int64_t number, std::int64_t most) const {
    constexpr ClaimMarks::Range all = ClaimMarks::whole();
    return session
        .run<sql::ClaimJobs>(process_, number, std::int16_t{0}, 1, all.priority, all.above, all.last_priority,
                             most)
        .size();
  }
  int claim_limited(pg::Session& session, std::int64_t number, std::int32_t most) const {
    return session.run<sql::ClaimLimitedJobs>(process_, number, std::int16_t{0}, 1, most).size();
  }

  std::optional<pg::Session> one_;
  std::int64_t process_ = 0;
};

TEST_F(NewLimitTest, ANewLimitCountsWhatRunsAlready) {
  enqueue_many("q", 10);
  EXPECT_EQ(claim(*one_, 1, 3), 3);
  const std::vector<std::string> words{"max_running=4"};
  change_queue(*one_, "q", words);
  EXPECT_EQ(claim(*one_, 2, 10), 0);
  EXPECT_EQ(claim_limited(*one_, 3, 10), 1);

  // It ends as a job of a queue without a limit; its slots go a little later.
  const std::vector<std::int64_t> claims{1};
  EXPECT_EQ(one_->run<sql::FinishClaims>(process_, claims).size(), 1);
  one_->run<sql::ForgetLostSlots>();
  EXPECT_EQ(count("weir.job_slot"), 1) << "of the one that runs";
  EXPECT_EQ(claim_limited(*one_, 4, 10), 3);
}

TEST_F(NewLimitTest, ANewLimitWaitsForClaimsThatDoNotSeeIt) {
  enqueue_many("q", 10);
  one_->execute("BEGIN");
  EXPECT_EQ(claim(*one_, 1, 3), 3);
  TestSignal<int> began;
  began.enable();
  std::jthread change = test::in_background([&] {
    pg::Session other = own_session();
    began.emit(other.backend_pid());
    const std::vector<std::string> words{"max_running=3"};
    change_queue(other, "q", words);
  });
  test::wait_until_blocked(connector(), began.wait(Deadline::after(20s)).value());
  one_->execute("COMMIT");
  change.join();
  EXPECT_EQ(claim_limited(*one_, 2, 10), 0);
}

TEST_F(NewLimitTest, ALimitHoldsWhateverTheUsersDefaultIsolationIs) {
  one_->execute("ALTER DATABASE " + database() + " SET default_transaction_isolation = 'repeatable read'");
  enqueue_many("q", 10);
  const std::vector<std::string> words{"max_running=1"};
  change_queue(*one_, "q", words);
  one_->execute("BEGIN ISOLATION LEVEL READ COMMITTED");
  EXPECT_EQ(claim_limited(*one_, 1, 1), 1);
  TestSignal<int> began;
  began.enable();
  int got = -1;
  std::jthread second = test::in_background([&] {
    pg::Session other = own_session();
    began.emit(other.backend_pid());
    got = claim_limited(other, 2, 1);
  });
  test::wait_until_blocked(connector(), began.wait(Deadline::after(20s)).value());
  one_->execute("COMMIT");
  second.join();
  EXPECT_EQ(got, 0);
}

}  // namespace
}  // namespace weir::queue
