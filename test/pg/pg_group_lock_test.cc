#include <gtest/gtest.h>

#include "pg/group_lock.h"
#include "support/database.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using test::PgTest;

constexpr AdvisoryKey kKey = AdvisoryKey::of(42, "team 1: schema 2");

class GroupLockTest : public PgTest {
 protected:
  [[nodiscard]] PinnedSession pinned(PinnedSession::OnLoss on_loss = {}) const {
    return PinnedSession::open(connector(), Role::group, "test", {}, std::move(on_loss));
  }
};

TEST_F(GroupLockTest, ExcludesAcrossConnectionsUntilItIsReleased) {
  auto mine = GroupLock::try_acquire(pinned(), kKey);
  ASSERT_TRUE(mine);
  auto theirs = GroupLock::try_acquire(pinned(), kKey);
  ASSERT_FALSE(theirs);
  PinnedSession mine_back = std::move(*mine).release();
  EXPECT_TRUE(mine_back.is_open());
  theirs = GroupLock::try_acquire(std::move(theirs.error()), kKey);
  EXPECT_TRUE(theirs);
}

TEST_F(GroupLockTest, IsFreeWhenItsOwnerIsDestroyed) {
  int pid = 0;
  {
    auto lock = GroupLock::try_acquire(pinned(), kKey);
    ASSERT_TRUE(lock);
    pid = lock->backend_pid();
  }
  test::wait_until_gone(connector(), pid);
  EXPECT_TRUE(GroupLock::try_acquire(pinned(), kKey));
}

TEST_F(GroupLockTest, IsFreeWhenItsSessionEndsAndTheLossIsAnEvent) {
  std::string reason;
  auto lock = GroupLock::try_acquire(pinned([&](const Error& error) { reason = error.what(); }), kKey);
  ASSERT_TRUE(lock);
  EXPECT_TRUE(lock->check());
  test::terminate_backend(connector(), lock->backend_pid());
  EXPECT_TRUE(GroupLock::try_acquire(pinned(), kKey));
  EXPECT_FALSE(lock->check());
  EXPECT_NE(reason, "");
  EXPECT_THROW(std::move(*lock).release(), ConnectionLost);
}

TEST_F(GroupLockTest, ALossInAVerbIsReportedOnceAndRethrown) {
  int losses = 0;
  PinnedSession session = pinned([&](const Error&) { ++losses; });
  test::terminate_backend(connector(), session.backend_pid());
  EXPECT_THROW(session.use([](Session& on) { on.execute("SELECT 1"); }), ConnectionLost);
  EXPECT_THROW(session.use([](Session& on) { on.execute("SELECT 1"); }), ConnectionLost);
  EXPECT_FALSE(session.check());
  EXPECT_EQ(losses, 1);
}

TEST_F(GroupLockTest, AServerThatDoesNotKnowTheLockIsAnErrorThatNamesThePooler) {
  auto lock = GroupLock::try_acquire(pinned(), kKey);
  ASSERT_TRUE(lock);
  lock->use([](Session& on) { on.execute("SELECT pg_advisory_unlock_all()"); });
  try {
    (void)std::move(*lock).release();
    FAIL() << "released what was not held";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::misuse);
    EXPECT_NE(error.remedy().find("pooler"), std::string::npos);
  }
}

TEST_F(GroupLockTest, AStatementThatDoesMoreMayTakeItAndLetGoOfIt) {
  const auto by = [](const std::string& function) {
    return [function](Session& on) {
      return on.execute("SELECT " + function + "($1, $2)", kKey.space, kKey.key)[0].get<bool>(0);
    };
  };
  auto mine = GroupLock::try_acquire_by(pinned(), kKey, by("pg_try_advisory_lock"));
  ASSERT_TRUE(mine);
  EXPECT_FALSE(GroupLock::try_acquire_by(pinned(), kKey, by("pg_try_advisory_lock")));
  EXPECT_TRUE(std::move(*mine).release_by(by("pg_advisory_unlock")).is_open());
  auto again = GroupLock::try_acquire(pinned(), kKey);
  ASSERT_TRUE(again);
  EXPECT_THROW((void)std::move(*again).release_by([](Session&) { return false; }), Error);
}

TEST_F(GroupLockTest, KeysOfTwoNamespacesDoNotMeet) {
  EXPECT_NE(AdvisoryKey::of(1, "a"), AdvisoryKey::of(2, "a"));
  auto one = GroupLock::try_acquire(pinned(), AdvisoryKey::of(1, "a"));
  auto two = GroupLock::try_acquire(pinned(), AdvisoryKey::of(2, "a"));
  EXPECT_TRUE(one && two);
}

}  // namespace
}  // namespace weir::pg
