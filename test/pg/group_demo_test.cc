// The demo of groups tells the truth, and leaves nothing. Times are of no concern here.

#include <gtest/gtest.h>

#include "group/demo_groups.h"
#include "support/database.h"
#include "support/errors.h"

namespace weir::group {
namespace {

class GroupDemoTest : public test::PgTest {
 protected:
  /// Locked for 2 s with leases of 1 s, the shortest that a feed may have.
  static GroupsDemoOptions brief() { return {.groups = 4, .each = std::chrono::seconds(8)}; }
  pg::Conninfo server() { return test::TestServer::shared().conninfo(); }
  std::int64_t databases() {
    return session()
        .execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'weir\\_demo%'")[0]
        .get<std::int64_t>(0);
  }
};

TEST_F(GroupDemoTest, ASharedConnectionHoldsUpAllGroupsAndOneForEachDoesNot) {
  // A machine that stands still for a lease takes a group from anybody: then it is shown again.
  const auto stood_still = [](const GroupsDemoWay& way) { return way.silence >= brief().lease() / 2; };
  std::vector<GroupsDemoWay> ways;
  for (int tries = 0; tries < 3 && (ways.empty() || stood_still(ways.back())); ++tries)
    ways = run_groups_demo(server(), brief());

  ASSERT_EQ(ways.size(), 2U);
  const GroupsDemoWay& shared = ways[0];
  const GroupsDemoWay& own = ways[1];
  for (const GroupsDemoWay& way : ways) {
    SCOPED_TRACE(way.name);
    EXPECT_GT(way.batches, 0);
    EXPECT_GE(way.blocked.size(), 1U);
    std::int64_t seen = 0;
    for (const std::int64_t in_slot : way.timeline) seen += in_slot;
    EXPECT_GT(seen, 0);
    EXPECT_LE(seen, way.batches);
  }
  EXPECT_GT(shared.twice, 0);
  EXPECT_GT(shared.refused, 0);
  EXPECT_GT(shared.taken, 0);
  EXPECT_GT(shared.silence, brief().lease());
  EXPECT_GT(shared.standstill, brief().lease());
  EXPECT_EQ(shared.connections, 2) << "its own, and that of the sweep";

  EXPECT_GT(own.batches, shared.batches);
  EXPECT_LE(own.connections, brief().groups + 2);
  EXPECT_GT(own.connections, 2);
  EXPECT_EQ(databases(), 0);
  if (stood_still(own)) GTEST_SKIP() << "the machine stood still each of three times";
  EXPECT_EQ(own.twice, 0);
  EXPECT_EQ(own.refused, 0);
  EXPECT_EQ(own.taken, 0);
}

TEST_F(GroupDemoTest, AStopAnywhereLeavesNothing) {
  for (const char* begin : {"making", "4 groups, their", "Weir: 4 groups"}) {
    std::stop_source stop;
    GroupsDemoOptions options = brief();
    options.stop = stop.get_token();
    options.on_step = [&](std::string_view step) {
      if (step.starts_with(begin)) stop.request_stop();
    };
    EXPECT_EQ(test::error_of([&] { run_groups_demo(server(), options); }).exit_code(), ExitCode::interrupted);
    EXPECT_EQ(databases(), 0) << begin;
  }
}

TEST_F(GroupDemoTest, AStopWhileAllWaitForTheRowLeavesNothing) {
  std::stop_source stop;
  GroupsDemoOptions options = brief();
  options.stop = stop.get_token();
  options.on_frame = [&](std::span<const GroupsDemoWay> ways) {
    if (!ways.back().blocked.empty()) stop.request_stop();
  };
  EXPECT_EQ(test::error_of([&] { run_groups_demo(server(), options); }).exit_code(), ExitCode::interrupted);
  EXPECT_EQ(databases(), 0);
}

}  // namespace
}  // namespace weir::group
