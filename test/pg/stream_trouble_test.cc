// Streams where something is wrong: with an event, with a handler, with a producer, with a process.

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "stream/cut.h"
#include "stream/group_take.h"
#include "stream/group_taker.h"
#include "support/errors.h"
#include "support/stream_test.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;
using ::testing::SizeIs;

class StreamTroubleTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    create_stream(*one_, {.name = "events", .chunk_events = 10});
  }

  /// A process claims all that is before the group, and dies.
  void lose(std::int32_t group, bool letters = false) {
    const std::int64_t process = ++dead_;
    one_->execute(
        "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES ($1, 'dead', now() "
        "+ "
        "interval '1 h')",
        process);
    if (letters) {
      lost_ = one_->run<sql::ClaimStreamLetters>(process, std::int64_t{1}, group, 100).size();
    } else {
      lost_ = one_->run<sql::ClaimStreamWork>(process, std::int64_t{1}, group, std::int64_t{-1}, 100,
                                              std::vector<std::int64_t>())
                  .size();
    }
    one_->execute("UPDATE weir.process SET dead = true WHERE id = $1", process);
    const auto rescued = one_->run<sql::RescueStreamClaims>();
    EXPECT_EQ(rescued.one().rescued, 1);
  }

  std::int64_t dead_ = 4711;
  int lost_ = 0;
};

TEST_F(StreamTroubleTest, NobodyWritesTheNumberOfAnotherTransaction) {
  EXPECT_THROW(one_->execute("INSERT INTO events (xid, payload) VALUES ('3', '{}')"), pg::Error);
  insert(1);
  EXPECT_THROW(
      one_->execute("INSERT INTO events (xid, event_id, at, key, payload) SELECT xid, event_id + 1, at, key, "
                    "payload FROM events"),
      pg::Error);
  one_->execute("INSERT INTO events (key, payload) SELECT key, payload FROM events");
  EXPECT_EQ(number("SELECT count(*) FROM events"), 2);
}

TEST_F(StreamTroubleTest, WhatKillsProcessesIsFoundAndGivenUp) {
  const std::int32_t group = this->group("g");
  insert(10);
  cut_all();
  lose(group);
  lose(group);
  EXPECT_EQ(number("SELECT attempt FROM weir.stream_work"), 2);
  lose(group);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE alone AND worker_id IS NULL"), 10);
  // One by one.
  one_->execute("UPDATE weir.stream_letter SET next_at = now() - interval '1 s' * event_id");
  for (int i = 0; i < 5; ++i) {
    lose(group, true);
    EXPECT_EQ(lost_, 1);
  }
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL"), 1);
  EXPECT_EQ(number("SELECT event_id FROM weir.stream_letter WHERE next_at IS NULL"), 10);
  std::atomic<int> calls{0};
  const auto consumer = leased({.group = "g", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  });
  work_off(*consumer);
  EXPECT_EQ(calls, 9);
}

TEST_F(StreamTroubleTest, AGroupThatFailsOnEverythingGetsNothingNew) {
  const std::int32_t id = this->group("g");
  const GroupDefinition group{.id = id, .name = "g"};
  GroupLook look;
  EXPECT_TRUE(look.may_take_chunks(*one_, group));
  one_->execute(
      "INSERT INTO weir.stream_letter (group_id, attempt, next_at, event_id, at, event, error) SELECT $1, 1, "
      "now(), n, "
      "now(), '{}', 'always' FROM generate_series(1, 10000) n",
      id);
  EXPECT_TRUE(look.may_take_chunks(*one_, group));  // not asked each time
  ASSERT_TRUE(look.letters_are_due(true));
  EXPECT_FALSE(look.may_take_chunks(*one_, group));
  one_->execute("UPDATE weir.stream_letter SET next_at = NULL WHERE event_id = 1");
  ASSERT_TRUE(look.letters_are_due(true));
  EXPECT_TRUE(look.may_take_chunks(*one_, group));
}

TEST_F(StreamTroubleTest, AHandlerThatAlwaysFailsLosesNothing) {
  insert(30);
  group("g");
  one_->execute("UPDATE weir.stream_group SET max_attempts = 2, backoff_ms = 1, backoff_cap_ms = 1");
  for (const bool by_lease : {true, false}) {
    std::atomic<int> calls{0};
    const ConsumerOptions options{.group = "g", .workers = 2, .once = true};
    const auto fail = [&](const work::Item&) {
      ++calls;
      return work::Outcome::failed("always");
    };
    const auto consumer = by_lease ? leased(options, fail) : transactional(options, fail);
    work_off(*consumer);
    EXPECT_GE(calls, 60);
    EXPECT_EQ(consumer->counts().dead, 30);
    EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL AND attempt = 2"), 30);
    one_->execute("DELETE FROM weir.stream_letter");
    insert(30);
  }
}

TEST_F(StreamTroubleTest, AGroupIsSetBackToATimeInTheMiddleOfAChunk) {
  group("g", std::nullopt);
  one_->execute(
      "INSERT INTO events (at, payload) SELECT now() + interval '1 s' * n, '{}' FROM generate_series(1, 9) "
      "n");
  cut_all();
  std::atomic<int> calls{0};
  const auto count = [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  };
  work_off(*leased({.group = "g", .once = true}, count));
  EXPECT_EQ(calls, 9);
  one_->execute(
      "SELECT weir.seek_stream_group(g.id, (SELECT at FROM events ORDER BY at OFFSET 5 LIMIT 1)) FROM "
      "weir.stream_group g");
  work_off(*transactional({.group = "g", .once = true}, count));
  EXPECT_EQ(calls, 13);
}

TEST_F(StreamTroubleTest, OneEventThatFailedTwiceIsTwoLettersAndEachIsTriedOnce) {
  one_->execute("CREATE TABLE effect (n int, CHECK (n NOT IN (2, 3)))");
  const std::string sql = "INSERT INTO effect SELECT (payload->>'n')::int FROM weir_chunk";
  insert(4);
  group("g");
  one_->execute("UPDATE weir.stream_group SET backoff_ms = 3600000, backoff_cap_ms = 3600000");
  const auto fail = [&](std::int64_t letters) {
    const auto consumer = by_sql({.group = "g"}, sql);
    consumer->start();
    test::wait_until([&] { return number("SELECT count(*) FROM weir.stream_letter") == letters; }, "letters");
    consumer->stop();
  };
  fail(2);
  one_->execute("SELECT weir.seek_stream_group(id, '-infinity') FROM weir.stream_group");
  fail(4);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 4);
  // Twos are good now, threes are not.
  one_->execute_script(
      "ALTER TABLE effect DROP CONSTRAINT effect_n_check; ALTER TABLE effect ADD CHECK (n <> 3);"
      "UPDATE weir.stream_letter SET next_at = now()");
  const auto consumer = by_sql({.group = "g"}, sql);
  consumer->start();
  test::wait_until([&] { return number("SELECT count(*) FROM weir.stream_letter WHERE attempt = 2") == 2; },
                   "threes");
  consumer->stop();
  EXPECT_EQ(number("SELECT count(*) FROM effect WHERE n = 2"), 2);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 2);
}

TEST_F(StreamTroubleTest, ALetterWhosePayloadIsTheJsonNullIsTriedLikeAnyOther) {
  one_->execute("INSERT INTO events (payload) VALUES ('null')");
  group("g");
  one_->execute("UPDATE weir.stream_group SET backoff_ms = 1, backoff_cap_ms = 1");
  for (const bool by_lease : {true, false}) {
    std::vector<std::string> payloads;
    const auto handle = [&](const work::Item& item) {
      payloads.emplace_back(item.payload);
      return item.attempt == 1 ? work::Outcome::failed("once") : work::Outcome::done();
    };
    const ConsumerOptions options{.group = "g", .workers = 1, .once = true};
    work_off(by_lease ? *leased(options, handle) : *transactional(options, handle));
    EXPECT_EQ(payloads.back(), "null");
    EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
    one_->execute("SELECT weir.seek_stream_group(id, '-infinity') FROM weir.stream_group");
  }
}

TEST_F(StreamTroubleTest, EventsOfInfiniteTimesAreRead) {
  one_->execute("CREATE TABLE rest PARTITION OF events DEFAULT");
  one_->execute(
      "INSERT INTO events (at, payload) SELECT at::timestamptz, '{}' FROM "
      "unnest('{infinity,-infinity,4000-01-01 BC,0001-01-01 "
      "BC,12026-01-01}'::text[]) at");
  std::atomic<int> calls{0};
  work_off(*transactional({.group = "g", .from = WallTime::min(), .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  }));
  EXPECT_EQ(calls, 5);
}

TEST_F(StreamTroubleTest, DeferredConstraintsHoldForTheWholeChunkWhicheverItIs) {
  one_->execute_script(
      "CREATE TABLE parent (id int PRIMARY KEY);"
      "CREATE TABLE child (parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)");
  group("g", std::nullopt);
  // Large ones, so that they are not joined and one transaction has several.
  for (int i = 0; i < 3; ++i) insert(30);
  cut_all();
  const auto consumer = by_sql({.group = "g", .workers = 1, .once = true},
                               "INSERT INTO child SELECT event_id FROM weir_chunk;"
                               "INSERT INTO parent SELECT event_id FROM weir_chunk");
  work_off(*consumer);
  EXPECT_EQ(number("SELECT count(*) FROM child"), 90);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
}

TEST_F(StreamTroubleTest, AGroupThatGoesAwayWithItsClaimsDoesNotHoldUpTheOthers) {
  const std::int32_t gone = group("gone");
  group("here");
  insert(5);
  cut_all();
  one_->execute(
      "INSERT INTO weir.process (id, name, lease_until, dead) OVERRIDING SYSTEM VALUE VALUES (4711, 'dead', "
      "now(), false)");
  EXPECT_EQ(one_->run<sql::ClaimStreamWork>(std::int64_t{4711}, std::int64_t{1}, gone, std::int64_t{-1}, 9,
                                            std::vector<std::int64_t>())
                .size(),
            1);
  one_->execute("DELETE FROM weir.stream_group WHERE id = $1", gone);
  one_->execute("UPDATE weir.process SET dead = true");
  one_->run<sql::RescueStreamClaims>();
  std::atomic<int> calls{0};
  work_off(*leased({.group = "here", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  }));
  EXPECT_EQ(calls, 5);
}

TEST_F(StreamTroubleTest, WhatWasNotBegunWhenAProcessStopsGoesBackAsItWas) {
  group("g");
  insert(50);
  cut_all();
  const std::int64_t before = number("SELECT count(*) FROM weir.stream_work");
  std::atomic<bool> in{false};
  const auto consumer = leased({.group = "g", .workers = 1, .batch = 1, .drain = 0s}, [&](const work::Item&) {
    in = true;
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(200ms), {}, unused);
    return work::Outcome::done();
  });
  consumer->start();
  test::wait_until([&] { return in.load(); }, "the first event");
  consumer->stop();
  EXPECT_GE(number("SELECT count(*) FROM weir.stream_work"), before - 1);
  EXPECT_LT(number("SELECT count(*) FROM weir.stream_letter"), 10);
}

TEST_F(StreamTroubleTest, LettersThatFailTogetherDoNotHoldUpTheGoodOnes) {
  one_->execute("CREATE TABLE effect (n int)");
  group("g");
  one_->execute(
      "INSERT INTO weir.stream_letter (group_id, attempt, next_at, event_id, at, event, error) SELECT g.id, "
      "1, now(), n, "
      "now(), jsonb_build_object('event_id', n, 'at', now(), 'payload', jsonb_build_object('n', n)), 'once' "
      "FROM "
      "weir.stream_group g, generate_series(1, 10) n");
  // An error that is said to be nobody's own.
  one_->execute_script(
      "CREATE FUNCTION odd(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n = 5 THEN RAISE EXCEPTION "
      "'no' USING ERRCODE = "
      "'57014'; END IF; RETURN n; END $$");
  const auto consumer = by_sql({.group = "g", .workers = 1},
                               "INSERT INTO effect SELECT odd((payload->>'n')::int) FROM weir_chunk");
  consumer->start();
  test::wait_until([&] { return number("SELECT count(*) FROM effect") == 9; }, "the good ones");
  test::wait_until([&] { return number("SELECT attempt FROM weir.stream_letter") == 2; }, "the attempt");
  insert(3);
  test::wait_until([&] { return number("SELECT count(*) FROM effect") == 12; }, "what is new");
  consumer->stop();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NOT NULL"), 1);
}

TEST_F(StreamTroubleTest, AChunkThatFailsAsAWholeForMinutesIsDivided) {
  const std::int32_t id = group("g");
  insert(10);
  cut_all();
  const auto stream = find_stream(*one_, "events");
  const StreamSql sql(stream);
  const GroupDefinition definition{.id = id, .name = "g"};
  class Failing final : public WorkDoer {
   public:
    std::size_t work(pg::Session& session, const GroupWork& work, Failures&,
                     const std::stop_token&) override {
      if (std::holds_alternative<Chunk>(work.events))
        session.execute("DO $$ BEGIN RAISE SQLSTATE '57014'; END $$");
      return 1;
    }
    void work_in_order(pg::Session&, const GroupWork&, LaneRun&, const std::stop_token&) override {}
  };
  GroupCounts counts;
  GroupTaker taker(sql, definition, std::make_unique<Failing>(), counts, {.stuck_for = 0s});
  const auto look = [&] {
    pg::Transaction transaction(*one_);
    const bool found = taker.take_and_run(*one_, transaction, true, [] {}, {});
    transaction.commit();
    taker.committed(1ms);
    return found;
  };
  for (int i = 0; i < 6; ++i) EXPECT_THROW(look(), pg::Error);
  EXPECT_TRUE(look());
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE alone"), 10);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 0);
  while (look()) continue;
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
}

TEST_F(StreamTroubleTest, SmallChunksBecomeFewWhenEverybodyIsDoneWithThem) {
  for (int i = 0; i < 20; ++i) {
    insert(1);
    cut_all();
  }
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 20);
  one_->execute("UPDATE weir.stream_chunk SET cut_at = cut_at - interval '1 h'");
  const auto stream = find_stream(*one_, "events");
  std::int64_t up_to = 0;
  merge_chunks(*one_, stream, up_to);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 2);
  EXPECT_EQ(number("SELECT sum(events) FROM weir.stream_chunk"), 20);
  // Whoever begins anew has each of them once.
  std::vector<std::int64_t> ids;
  work_off(*transactional({.group = "new", .from = WallTime::min(), .workers = 1, .once = true},
                          [&](const work::Item& item) {
                            ids.push_back(item.id);
                            return work::Outcome::done();
                          }));
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids.size(), 20U);
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST_F(StreamTroubleTest, MergingChunksReadsNothingOfTheBacklogBehindThem) {
  const std::int32_t slow = group("slow", std::nullopt);
  group("fast", std::nullopt);
  one_->execute_script(
      "INSERT INTO weir.stream_chunk (stream_id, number, from_xid, to_xid, events, first_at, last_at, "
      "cut_at, open, late) "
      "SELECT id, n, n, n + 1, 1, now(), now(), now() - interval '1 h', '{}', '{}' FROM weir.stream, "
      "generate_series(1, 30000) n;"
      "ANALYZE weir.stream_work");  // as it was when it was empty
  one_->execute(
      "INSERT INTO weir.stream_work (group_id, chunk) SELECT $1, n FROM generate_series(101, 30000) n", slow);
  one_->execute("INSERT INTO weir.stream_work (group_id, chunk) VALUES ($1, 20)", slow);
  const auto stream = find_stream(*one_, "events");
  std::int64_t up_to = 0;
  pg::Transaction transaction(*one_);
  merge_chunks(*one_, stream, up_to);
  EXPECT_LT(number("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = "
                   "'weir.stream_work'::regclass"),
            2500);
  transaction.commit();
  EXPECT_EQ(up_to, 2000);
  // By tens, and 20 is nobody's but its own: 1, 11; 20; 21, 31, .. 91; what the slow one has before it.
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk WHERE number <= 100"), 11);
  EXPECT_EQ(number("SELECT events FROM weir.stream_chunk WHERE number = 11"), 9);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk WHERE number > 100"), 29900);
}

TEST_F(StreamTroubleTest, APausedGroupGetsNothingUntilItGoesOn) {
  group("g");
  insert(5);
  cut_all();
  one_->execute("UPDATE weir.stream_group SET paused = true");
  const GroupDefinition definition{
      .id = static_cast<std::int32_t>(number("SELECT id FROM weir.stream_group")), .name = "g"};
  EXPECT_THAT(take_chunks(*one_, definition, -1, 10, 1000).work, SizeIs(0));
  one_->execute("UPDATE weir.stream_group SET paused = false");
  EXPECT_THAT(take_chunks(*one_, definition, -1, 10, 1000).work, SizeIs(1));
}

}  // namespace
}  // namespace weir::stream
