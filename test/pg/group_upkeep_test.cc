// What is done to feeds and runs while producers and consumers are at work, and what a poll makes of many
// groups that cannot be taken.

#include <future>

#include <gtest/gtest.h>

#include "group/admin.h"
#include "group/poll_connection.h"
#include "pg/transaction.h"
#include "support/errors.h"
#include "support/group_test.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

class GroupUpkeepTest : public test::GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    sink_ = add_sink("s");
  }
  /// Of a sink that is not in use yet.
  std::string turns(const std::string& sink) {
    return text(
        "SELECT coalesce(string_agg(r.key || ':' || t.next_idx, ' ' ORDER BY r.key), '') FROM "
        "weir.batch_turn t JOIN "
        "weir.batch_run r ON r.id = t.run_id JOIN weir.feed_sink k ON k.id = t.sink_id WHERE k.name = '" +
        sink + "'");
  }
  SinkDefinition sink_;
};

// Found in review: the consumers of a feed that was dropped looked for its batches for ever, and looked
// healthy.
TEST_F(GroupUpkeepTest, AConsumerEndsWithItsFeed) {
  const auto consumer = this->consumer({.sink = "s", .poll = 20ms}, inside_effect("s"));
  consumer->start();
  drop_feed(*one_, find_feed(*one_, "default"));
  test::wait_until([&] { return consumer->failure() != nullptr; }, "the consumer's end");
  consumer->stop();
  const Error error = test::error_of([&] { std::rethrow_exception(consumer->failure()); });
  EXPECT_STREQ(error.what(), "the feed default was dropped, and its sink s with it");
}

// Found in review: whoever waited for the feed had all producers wait behind him.
TEST_F(GroupUpkeepTest, ProducersDoNotWaitBehindOneWhoBringsARunBack) {
  submit(kGroup, {.run = "r"});
  const std::int64_t run = number("SELECT id FROM weir.batch_run");
  fail_run(*one_, run, std::nullopt, "by hand");
  pg::Session producer = session();
  pg::Transaction transaction(producer);
  producer.execute("SELECT weir.submit_batch('t', 'slow', '{}')");
  auto retried = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    return retry_run(session, run, std::nullopt).size();
  });
  pg::Session watcher = session();
  const auto waits = [&] {
    return watcher.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").rows() == 1;
  };
  test::wait_until(waits, "it to wait for the feed");
  submit({"t", "quick"});
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step"), 1);
  test::wait_until(waits, "it to try once more");
  transaction.commit();
  EXPECT_EQ(retried.get(), 1U);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step"), 3);
}

// Found in review: it looked at everything that is kept, while producers waited.
TEST_F(GroupUpkeepTest, ANewSinkLooksAtWhatCanStillCome) {
  submit({"t", "over"});
  submit({"t", "open"}, {.run = "r"});
  work_off({.sink = "s"}, inside_effect("s"));
  submit({"t", "before"});
  submit({"t", "gap"}, {.run = "g", .idx = 0});
  submit({"t", "gap"}, {.run = "g", .idx = 2, .final = true});
  submit({"t", "failed"}, {.run = "f", .final = true});
  fail_run(*one_, number("SELECT id FROM weir.batch_run WHERE run = 'f'"), std::nullopt, "by hand");
  const SinkDefinition late = add_sink("late");
  EXPECT_EQ(turns("late"), "before:1 failed:1 gap:3 open:1");
  // Of a run that began before it, it has nothing that comes before its turn.
  submit({"t", "gap"}, {.run = "g", .idx = 1});
  submit({"t", "open"}, {.run = "r"});
  EXPECT_EQ(text("SELECT string_agg(key || idx, ' ' ORDER BY key) FROM weir.batch_step WHERE sink_id = " +
                 std::to_string(late.id)),
            "open1");
  // With `from` it has what was finished since, too.
  group::add_sink(*one_, {.feed = "default", .name = "all", .from = WallTime{}});
  EXPECT_EQ(turns("all"), "before:0 failed:0 gap:0 open:0 over:0");
}

// Found in review: batches that failed with their run counted as none, and --once said that all was well.
TEST_F(GroupUpkeepTest, WhatComesToARunThatHasFailedIsCounted) {
  submit(kGroup, {.run = "r"});
  fail_run(*one_, number("SELECT id FROM weir.batch_run"), std::nullopt, "by hand");
  submit(kGroup, {.run = "r"});
  const auto consumer = this->consumer({.sink = "s", .once = true}, inside_effect("s"));
  work_off(*consumer);
  EXPECT_EQ(consumer->counts().failed, 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_step"), 0);
}

// Found by a new user: its batch 0 could never come, and the group waited for it.
TEST_F(GroupUpkeepTest, AnIndexWithoutARunIsRefused) {
  const Error error = test::error_of([&] { submit(kGroup, {.idx = 1}); });
  EXPECT_TRUE(test::has(error.what(), "a batch with the index 1 belongs to a run")) << error.what();
  EXPECT_EQ(number("SELECT count(*) FROM weir.batch_run"), 0);
  submit(kGroup, {.idx = 0});
  work_off({.sink = "s"}, inside_effect("s"));
  EXPECT_EQ(effects("s"), "0");
}

// Found in review: one look took in all of a tenant's groups, every five seconds in every consumer.
TEST_F(GroupUpkeepTest, BehindManyGroupsThatWaitTheOneThatDoesNotIsFoundInSteps) {
  one_->execute(
      "INSERT INTO weir.batch_step (sink_id, tenant, key, run_id, idx, run_at, state, next_at) SELECT $1, "
      "'t', "
      "to_char(n, 'FM000000'), n, 0, now(), 'waiting_retry', now() + interval '1 h' FROM generate_series(1, "
      "30000) n",
      sink_.id);
  submit({"t", "a"});
  auto poll = PollConnection::open(connector(), "test", {});
  EXPECT_TRUE(poll.candidates(sink_, 10).empty());
  EXPECT_TRUE(poll.candidates(sink_, 10).empty());
  ASSERT_EQ(poll.candidates(sink_, 10).size(), 1U);
  // And so is one at the beginning.
  submit({"t", "000000"});
  std::vector<GroupKey> found;
  for (int looks = 0; found.size() < 2 && looks < 4; ++looks) {
    for (const GroupKey& group : poll.candidates(sink_, 10))
      if (std::find(found.begin(), found.end(), group) == found.end()) found.push_back(group);
  }
  EXPECT_EQ(found.size(), 2U);
}

// Found in review: who could not have a group that nobody seemed to have tried for it without a pause.
TEST_F(GroupUpkeepTest, AGroupThatCannotBeHadIsLeftAloneForAWhile) {
  const pg::AdvisoryKey key = lock_key(sink_.id, kGroup);
  pg::Session other = session();
  other.execute("SELECT pg_advisory_lock($1, $2)", key.space, key.key);
  submit(kGroup);
  const auto consumer =
      this->consumer({.sink = "s", .ownership = Ownership::advisory, .poll = 20ms}, inside_effect("s"));
  consumer->start();
  for (int n = 0; n < 5; ++n) {
    test::wait_until([&] { return consumer->counts().skipped > 0; }, "a try");
    submit({"t", std::to_string(n)});
    test::wait_until([&] { return consumer->counts().succeeded > n; }, "another group");
  }
  EXPECT_LT(consumer->counts().skipped, 50);
  other.execute("SELECT pg_advisory_unlock($1, $2)", key.space, key.key);
  test::wait_until([&] { return consumer->counts().succeeded == 6; }, "the group");
  consumer->stop();
}

}  // namespace
}  // namespace weir::group
