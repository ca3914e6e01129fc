// Chunks that a leased group has before it and that cannot be read: because of what is in them, or of the
// world.

#include <set>

#include <gtest/gtest.h>

#include "schema/queries/streams.h"
#include "stream/group_source.h"
#include "support/errors.h"
#include "support/stream_test.h"
#include "support/waiting.h"
#include "work/process.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

/// Events are given as whole rows, and one whose value is 'bad' cannot be.
class StreamUnreadableTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    create_stream(*one_, {.name = "events", .chunk_events = 10});
    one_->execute_script(
        "CREATE TYPE odd AS ENUM ('good', 'bad');"
        "CREATE FUNCTION odd_json(o odd) RETURNS json LANGUAGE plpgsql AS $$ BEGIN IF o = 'bad' THEN RAISE "
        "EXCEPTION "
        "'not to be read' USING ERRCODE = 'data_exception'; END IF; RETURN to_json(o::text); END $$;"
        "CREATE CAST (odd AS json) WITH FUNCTION odd_json(odd);"
        "ALTER TABLE events ADD COLUMN odd odd NOT NULL DEFAULT 'good';"
        "UPDATE weir.stream SET payload_column = NULL;"
        "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES (4711, 'me', now() "
        "+ interval '1 h')");
    group_ = group("g", std::nullopt);
  }

  /// A chunk of ten, one of them bad, and one of ten good ones behind it.
  void insert_both() {
    one_->execute(
        "INSERT INTO events (odd, payload) SELECT CASE n WHEN 4 THEN 'bad' ELSE 'good' END::odd, '{}' FROM "
        "generate_series(1, 10) n");
    insert(10);
    cut_all();
    ASSERT_EQ(number("SELECT count(*) FROM weir.stream_work"), 2);
  }
  [[nodiscard]] GroupSource source(Duration patience) {
    return {find_stream(*one_, "events"), {.id = group_, .name = "g"}, patience};
  }
  std::shared_ptr<work::Claim> claim(GroupSource& source) { return source.claim(*one_, life_, 100, true); }
  void finish(GroupSource& source, const std::shared_ptr<work::Claim>& claim) {
    std::vector<work::Settlement> pending{
        {nullptr, claim, 0, std::vector<work::Outcome>(claim->items().size(), work::Outcome::done())}};
    EXPECT_EQ(source.settle(*one_, life_, pending, true), 0U);
  }

  const work::Life life_{4711};
  std::int32_t group_ = 0;
};

TEST_F(StreamUnreadableTest, DoNotHoldUpTheOthers) {
  insert_both();
  std::atomic<int> calls{0};
  const auto consumer = leased({.group = "g", .workers = 1}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  });
  consumer->start();
  test::wait_until([&] { return calls == 10; }, "the good chunk");
  consumer->stop();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work WHERE chunk = 1 AND attempt = 0"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
}

TEST_F(StreamUnreadableTest, AreDividedAndWhatCanBeReadIsDone) {
  insert_both();
  GroupSource source = this->source(0s);
  std::multiset<std::int64_t> done;
  while (const auto some = claim(source)) {
    for (const work::Item& item : some->items()) done.insert(item.id);
    finish(source, some);
  }
  EXPECT_EQ(done, (std::multiset<std::int64_t>{1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                                               20}));
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 0);
  EXPECT_EQ(
      number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL AND event_id = 4 AND error LIKE "
             "'%not to be read%' AND event->>'event_id' = '4'"),
      1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 1);
}

TEST_F(StreamUnreadableTest, OfALetterItIsAnAttemptThatFailed) {
  insert(2);
  one_->execute_script("UPDATE weir.stream_group SET max_attempts = 1");
  cut_all();
  one_->execute(
      "INSERT INTO weir.stream_letter (group_id, attempt, next_at, event_id, at, event, error) SELECT $1, 0, "
      "now(), n, now(), "
      "jsonb_build_object('event_id', n, 'at', now(), 'odd', CASE n WHEN 2 THEN 'no such' ELSE 'good' END), "
      "'once' FROM "
      "generate_series(1, 5) n",
      group_);
  GroupSource source(find_stream(*one_, "events"), {.id = group_, .name = "g", .max_attempts = 1});
  std::multiset<std::int64_t> ids;
  while (const auto claim = this->claim(source)) {
    for (const work::Item& item : claim->items()) ids.insert(item.id);
    finish(source, claim);
  }
  EXPECT_EQ(ids, (std::multiset<std::int64_t>{1, 1, 2, 3, 4, 5}));
  EXPECT_EQ(
      number(
          "SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL AND attempt = 1 AND event_id = 2"),
      1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 1);
  EXPECT_EQ(source.counts().dead, 1);
}

TEST_F(StreamUnreadableTest, ByNobodyNothingIsUsedUp) {
  insert_both();
  one_->execute("ALTER TABLE events RENAME COLUMN key TO keys");
  GroupSource source = this->source(0s);
  for (int i = 0; i < 10; ++i) {
    const auto error = test::error_of([&] { claim(source); });
    EXPECT_TRUE(test::has(error.what(), "42703")) << error.what();
    source.resolve(*one_, life_);
  }
  EXPECT_EQ(source.next_look(), std::nullopt);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work WHERE attempt = 0"), 2);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
}

TEST_F(StreamUnreadableTest, WithTooManyOfThemItIsNotTheChunks) {
  for (int i = 0; i < 20; ++i)
    one_->execute("INSERT INTO events (odd, payload) SELECT 'bad', '{}' FROM generate_series(1, 10) n");
  cut_all();
  GroupSource source = this->source(5min);
  EXPECT_TRUE(test::has(test::error_of([&] { claim(source); }).what(), "not to be read"));
  source.resolve(*one_, life_);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work WHERE attempt = 0"), 20);
}

TEST_F(StreamUnreadableTest, KillsOfAProcessDivideThemToo) {
  insert_both();
  one_->execute("UPDATE weir.stream_work SET attempt = 2");
  ASSERT_EQ(one_->run<sql::ClaimStreamWork>(std::int64_t{4711}, std::int64_t{1}, group_, std::int64_t{-1}, 1,
                                            std::vector<std::int64_t>())
                .size(),
            1);
  one_->run<sql::GiveUpStreamClaim>(std::int64_t{4711}, std::int64_t{1});
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE alone AND next_at IS NOT NULL"), 9);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work WHERE chunk = 1"), 0);
}

}  // namespace
}  // namespace weir::stream
