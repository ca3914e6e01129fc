// Groups that are kept in order by key: whoever produces, consumes, fails or dies.

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <semaphore>
#include <vector>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "base/mutex.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "schema/queries/streams_lanes.h"
#include "stream/admin.h"
#include "stream/cut.h"
#include "stream/overview.h"
#include "stream/peek.h"
#include "support/errors.h"
#include "support/stream_test.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// In the order of a lane; `place` counts effects as they were written.
const std::string kNote =
    "INSERT INTO effect (key, n, event_id) SELECT key, (payload->>'n')::int, event_id FROM weir_chunk ORDER "
    "BY "
    "xid, event_id";
const std::string kLane = "abs(hashtextextended(coalesce(key, '') COLLATE \"C\", 0) % 16)";

class StreamLanesTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    create_stream(*one_, {.name = "events", .chunk_events = 10});
    one_->execute_script(
        "CREATE TABLE effect (place bigint GENERATED ALWAYS AS IDENTITY, key text, n int, event_id bigint)");
  }
  std::int32_t ordered_group(const std::string& name, std::int32_t lanes = 16) {
    const auto made = one_->run<sql::MakeOrderedStreamGroup>(find_stream(*one_, "events").id, name,
                                                             std::optional(WallTime{}), lanes);
    return made.one().id;
  }
  static ConsumerOptions options(const std::string& group, std::size_t workers = 4, bool once = true) {
    return {.group = group, .from = WallTime{}, .workers = workers, .once = once, .ordered = true};
  }
  void insert_one(const std::string& key, int n) {
    one_->execute("INSERT INTO events (key, payload) VALUES ($1, jsonb_build_object('n', $2::int4))", key, n);
  }
  /// Others cut at the same time.
  void cut_now() {
    try {
      cut_all();
    } catch (const pg::Error& error) {
      if (!is_cut_conflict(error)) throw;
    }
  }
  /// Effects that come before an earlier one of their key, and events that had none or two.
  std::int64_t out_of_order() {
    return number(
        "SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY key ORDER BY place) AS before FROM "
        "effect) "
        "e WHERE n <= before");
  }
  std::int64_t not_once() {
    return number(
        "SELECT count(*) FROM events e FULL JOIN (SELECT event_id, count(*) AS times FROM effect GROUP BY 1) "
        "f "
        "USING (event_id) WHERE f.times IS DISTINCT FROM 1");
  }
};

/// What a handler was given, by key.
class Seen {
 public:
  void note(const work::Item& item) {
    const MutexLock lock(mutex_);
    events_[std::string(item.kind)].push_back(item.id);
  }
  [[nodiscard]] std::map<std::string, std::vector<std::int64_t>> events() const {
    const MutexLock lock(mutex_);
    return events_;
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::vector<std::int64_t>> events_ WEIR_GUARDED_BY(mutex_);
};

TEST_F(StreamLanesTest, EachKeyIsInOrderWithManyWorkersAndProducersThatCommitInAnyOrder) {
  ordered_group("sql");
  ordered_group("tx");
  ordered_group("leased");
  Seen by_transaction;
  Seen by_lease;
  const auto noting = [](Seen& seen) {
    return [&seen](const work::Item& item) {
      seen.note(item);
      return work::Outcome::done();
    };
  };
  const auto one = by_sql(options("sql", 4, false), kNote);
  const auto two = by_sql(options("sql", 4, false), kNote);
  const auto three = transactional(options("tx", 4, false), noting(by_transaction));
  const auto four = leased(options("leased", 4, false), noting(by_lease));
  for (const auto* consumer : {&one, &two, &three, &four}) (*consumer)->start();

  std::mt19937 random(4711);
  std::vector<pg::Session> producers;
  for (int i = 0; i < 8; ++i) producers.push_back(session());
  std::array<int, 8> counts{};
  std::array<std::size_t, 8> order{0, 1, 2, 3, 4, 5, 6, 7};
  for (int round = 0; round < 25; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t i : order) {
      producers[i].execute("BEGIN");
      const int events = round % 10 == 3 && i == 0 ? 45 : 1 + static_cast<int>(random() % 3);
      producers[i].execute(
          "INSERT INTO events (key, payload) SELECT 'producer ' || $1::int4, jsonb_build_object('n', n) FROM "
          "generate_series($2::int4, $3::int4) n",
          static_cast<std::int32_t>(i), counts.at(i) + 1, counts.at(i) + events);
      counts.at(i) += events;
    }
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t i : order) {
      if (random() % 4 == 0) cut_now();
      producers[i].execute("COMMIT");
    }
  }
  int total = 0;
  for (const int count : counts) total += count;
  test::wait_until([&] { return number("SELECT count(*) FROM effect") == total; }, "all by SQL");
  test::wait_until([&] { return three->counts().done == total && four->counts().done == total; }, "all");
  for (const auto* consumer : {&one, &two, &three, &four}) (*consumer)->stop();

  EXPECT_EQ(out_of_order(), 0);
  EXPECT_EQ(not_once(), 0);
  for (const Seen* seen : {&by_transaction, &by_lease}) {
    const auto events = seen->events();
    EXPECT_THAT(events, SizeIs(8));
    for (const auto& [key, ids] : events) EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end())) << key;
  }
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_claim"), 0);
}

TEST_F(StreamLanesTest, WhoDiesBetweenTheWorkAndItsCommitLosesDoublesAndTurnsNothing) {
  ordered_group("g", 3);
  one_->execute("CREATE SEQUENCE runs");
  for (int n = 1; n <= 60; ++n) insert_one("k" + std::to_string(n % 5), n);
  const auto consumer =
      by_sql(options("g", 2), kNote +
                                  "; SELECT pg_terminate_backend(pg_backend_pid()) FROM (SELECT "
                                  "nextval('runs') AS run) r WHERE run IN (1, 2, 4)");
  work_off(*consumer);
  EXPECT_GE(number("SELECT last_value FROM runs"), 3) << "two of the first ones died";
  EXPECT_EQ(out_of_order(), 0);
  EXPECT_EQ(not_once(), 0);
}

TEST_F(StreamLanesTest, AnEventThatFailsHoldsItsLaneAloneUntilItIsDead) {
  const std::int32_t id = ordered_group("g");
  one_->execute("UPDATE weir.stream_group SET max_attempts = 2, backoff_ms = 3600000");
  one_->execute("ALTER TABLE effect ADD CONSTRAINT effect_n CHECK (n <> 20)");
  insert(70);  // 20 has the key k6
  const std::string of_lane =
      kLane + " = (SELECT " + kLane + " FROM events WHERE payload->>'n' = '20') AND (payload->>'n')::int ";
  const std::int64_t behind = number("SELECT count(*) FROM events WHERE " + of_lane + ">= 20");
  ASSERT_GT(behind, 1);
  const auto first = by_sql(options("g", 4, false), kNote);
  first->start();
  test::wait_until([&] { return number("SELECT count(*) FROM effect") == 70 - behind; }, "the others");
  test::wait_until([&] { return number("SELECT count(*) FROM weir.stream_lane WHERE attempt = 1") == 1; },
                   "the lane that stays");
  first->stop();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM effect WHERE event_id IN (SELECT event_id FROM events WHERE " +
                   of_lane + ">= 20)"),
            0)
      << "what is behind it waits";
  const auto stream = find_stream(*one_, "events");
  const auto lanes = overview_of(*one_, stream).lanes;
  ASSERT_THAT(lanes, SizeIs(1));
  EXPECT_TRUE(lanes[0].slowest);
  EXPECT_EQ(lanes[0].failed_event, number("SELECT event_id FROM events WHERE payload->>'n' = '20'"));
  EXPECT_EQ(lanes[0].attempts, 1);
  EXPECT_TRUE(test::has(lanes[0].error, "effect_n"));
  const auto figures = group_figures(*one_, stream, id);
  EXPECT_EQ(figures.at(0).again, 1);
  EXPECT_EQ(figures.at(0).lanes, 16);
  EXPECT_GT(figures.at(0).events, 0);
  EXPECT_TRUE(figures.at(0).lag);
  // What it gets next is what that lane has not had.
  EXPECT_THAT(peek_before(*one_, stream, id, {.most = 100}), SizeIs(static_cast<std::size_t>(behind)));

  one_->execute("UPDATE weir.stream_lane SET retry_at = now() WHERE attempt = 1");
  work_off(*by_sql(options("g"), kNote));
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 69);
  EXPECT_EQ(out_of_order(), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL AND attempt = 2"), 1);
  EXPECT_EQ(group_figures(*one_, stream, id).at(0).events, 0);

  // Behind all the others, once it can be done.
  one_->execute("ALTER TABLE effect DROP CONSTRAINT effect_n");
  EXPECT_EQ(replay_dead(*one_, id, {}).events, 1);
  work_off(*by_sql(options("g"), kNote));
  EXPECT_EQ(not_once(), 0);
  EXPECT_EQ(number("SELECT n FROM effect ORDER BY place DESC LIMIT 1"), 20);
}

TEST_F(StreamLanesTest, HandlersAreNotGivenWhatIsBehindAnEventThatFails) {
  for (const bool leased : {true, false}) {
    const std::string name = leased ? "leased" : "tx";
    ordered_group(name, 2);
    one_->execute("TRUNCATE events");
    one_->execute("UPDATE weir.stream_group SET backoff_ms = 0, backoff_cap_ms = 0");
    for (int n = 1; n <= 9; ++n) insert_one("k", n);
    std::atomic<unsigned> attempts{0};
    Seen seen;
    const auto handle = [&](const work::Item& item) {
      if (item.payload == R"({"n": 4})" && item.attempt <= 3) {
        attempts |= 1U << static_cast<unsigned>(item.attempt);
        return work::Outcome::failed("not yet");
      }
      if (item.payload == R"({"n": 6})") return work::Outcome::discarded("never");
      seen.note(item);
      return work::Outcome::done();
    };
    const ConsumerOptions wanted = options(name, 2);
    work_off(leased ? *this->leased(wanted, handle) : *transactional(wanted, handle));
    EXPECT_EQ(attempts, 0b1110U) << name;
    const auto ids = seen.events()["k"];
    if (leased) {
      EXPECT_THAT(ids, SizeIs(8));
      EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
    }
    // What was undone with one that failed was done anew: the last time counts.
    std::vector<std::int64_t> kept;
    for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
      if (std::find(kept.begin(), kept.end(), *id) == kept.end()) kept.push_back(*id);
    }
    EXPECT_THAT(kept, SizeIs(8)) << name;
    EXPECT_TRUE(std::is_sorted(kept.rbegin(), kept.rend())) << name;
    EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL"), 1);
    one_->execute("DELETE FROM weir.stream_letter");
  }
}

TEST_F(StreamLanesTest, HowManyLanesThereAreIsSettledOnce) {
  insert(10);
  ConsumerOptions eight = options("g");
  eight.lanes = 8;
  work_off(*by_sql(eight, kNote));
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_lane"), 8);
  ConsumerOptions four = options("g");
  four.lanes = 4;
  const Error refused = test::error_of([&] { by_sql(four, kNote)->start(); });
  EXPECT_EQ(refused.exit_code(), ExitCode::refused);
  EXPECT_TRUE(test::has(refused.what(), "has 8 lanes, and not 4")) << refused.what();
  // Who does not say how many gets as many as there are; who says nothing at all, too.
  insert(10);
  work_off(*by_sql(options("g"), kNote));
  insert(10);
  work_off(*by_sql({.group = "g", .once = true}, kNote));
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 30);
  group("plain");
  const Error plain = test::error_of([&] { by_sql(options("plain"), kNote)->start(); });
  EXPECT_EQ(plain.exit_code(), ExitCode::refused);
  EXPECT_TRUE(test::has(plain.what(), "is not kept in order")) << plain.what();
}

// A session in another time zone would take an event for one of another's lane, and so it would be nobody's.
TEST_F(StreamLanesTest, AKeyThatIsWrittenAfterSettingsIsRefused) {
  one_->execute("UPDATE weir.stream SET key_column = 'at'");
  const Error refused = test::error_of([&] { by_sql(options("g"), kNote)->start(); });
  EXPECT_EQ(refused.exit_code(), ExitCode::refused);
  EXPECT_TRUE(test::has(refused.what(), "timestamp with time zone")) << refused.what();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_group"), 0);
  one_->execute_script(
      "CREATE DOMAIN customer AS text; ALTER TABLE events ADD COLUMN customer customer; UPDATE weir.stream "
      "SET key_column = 'customer'");
  work_off(*by_sql(options("g"), kNote));
}

// A label that is renamed would take its events to a lane that has gone by; and 1.0 and 1.00 are one key.
TEST_F(StreamLanesTest, AKeyWhoseTextIsNotTheKeyIsRefused) {
  one_->execute_script(
      "CREATE TYPE color AS ENUM ('red', 'blue'); CREATE TYPE public.text AS ENUM ('a'); "
      "CREATE DOMAIN tone AS color; "
      "CREATE COLLATION either (provider = icu, locale = 'und-u-ks-level2', deterministic = false); "
      "ALTER TABLE events ADD COLUMN a color, ADD COLUMN b tone, ADD COLUMN c public.text, "
      "ADD COLUMN d numeric, ADD COLUMN e pg_catalog.text COLLATE either");
  for (const std::string column : {"a", "b", "c", "d", "e"}) {
    one_->execute("UPDATE weir.stream SET key_column = $1", column);
    const Error refused = test::error_of([&] { by_sql(options("g"), kNote)->start(); });
    EXPECT_EQ(refused.exit_code(), ExitCode::refused) << column;
    EXPECT_TRUE(test::has(refused.what(), "no group can be kept in order by it")) << refused.what();
  }
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_group"), 0);
  one_->execute_script(
      "ALTER TABLE events ADD COLUMN f uuid, ADD COLUMN g int8, ADD COLUMN h varchar(9), ADD COLUMN i "
      "char(9)");
  for (const std::string column : {"f", "g", "h", "i"}) {
    one_->execute("UPDATE weir.stream SET key_column = $1", column);
    work_off(*by_sql(options("g"), kNote));
  }
}

TEST_F(StreamLanesTest, EventsWithoutAKeyAreOfOneLane) {
  ordered_group("g");
  one_->execute(
      "INSERT INTO events (payload) SELECT jsonb_build_object('n', n) FROM generate_series(1, 55) n");
  Seen seen;
  work_off(*transactional(options("g"), [&](const work::Item& item) {
    seen.note(item);
    return work::Outcome::done();
  }));
  const auto events = seen.events();
  ASSERT_THAT(events, SizeIs(1));
  const auto& ids = events.begin()->second;
  EXPECT_THAT(ids, SizeIs(55));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_EQ(number("SELECT count(DISTINCT done_chunk) FROM weir.stream_lane"), 1) << "the others went by";
}

TEST_F(StreamLanesTest, LargePayloadsKeepTheirPlace) {
  for (int n = 1; n <= 3; ++n) {
    insert_one("k", n);
    one_->execute("INSERT INTO events (key, payload) VALUES ('k', to_jsonb(repeat('x', 100000)))");
  }
  for (const bool leased : {true, false}) {
    std::vector<std::size_t> sizes;
    const auto handle = [&](const work::Item& item) {
      sizes.push_back(item.payload.size());
      return work::Outcome::done();
    };
    const std::string name = leased ? "leased" : "tx";
    ordered_group(name, 1);
    work_off(leased ? *this->leased(options(name, 1), handle) : *transactional(options(name, 1), handle));
    EXPECT_EQ(sizes, (std::vector<std::size_t>{8, 100002, 8, 100002, 8, 100002})) << name;
  }
}

TEST_F(StreamLanesTest, SetToAnotherTimeItGoesOnFromThereInOrderButNotWhileSomebodyIsAtWork) {
  test::wait_past_midnight(1min, 61s);  // of yesterday there is no partition
  const std::int32_t id = ordered_group("g");
  insert(4, "now() - interval '1 minute'");
  insert(4);
  work_off(*by_sql(options("g"), kNote));
  EXPECT_EQ(seek_group(*one_, id, WallTime::max()), 0);
  one_->execute("TRUNCATE effect");
  work_off(*by_sql(options("g"), kNote));
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 0);

  EXPECT_GT(seek_group(*one_, id, WallTime::min()), 0);
  const auto stream = find_stream(*one_, "events");
  EXPECT_EQ(group_figures(*one_, stream, id).at(0).events, 8);
  {
    pg::Session other = session();
    pg::Transaction transaction(other);
    EXPECT_EQ(other.run<sql::TakeStreamLane>(id, stream.id, std::vector<std::int64_t>()).size(), 1);
    const Error busy = test::error_of([&] { seek_group(*one_, id, WallTime::max()); });
    EXPECT_EQ(busy.exit_code(), ExitCode::refused);
    EXPECT_TRUE(test::has(busy.what(), "the group is at work")) << busy.what();
    EXPECT_TRUE(test::has(busy.remedy(), "weir stream pause")) << busy.remedy();
  }
  work_off(*by_sql(options("g"), kNote));
  EXPECT_EQ(not_once(), 0);

  one_->execute("TRUNCATE effect");
  const WallTime between = one_->execute("SELECT now() - interval '30 s'")[0].get<WallTime>(0);
  seek_group(*one_, id, between);
  work_off(*by_sql(options("g"), kNote));
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 4) << "of a part of the chunk";
  EXPECT_EQ(out_of_order(), 0);

  const Error replay = test::error_of([&] { replay_events(*one_, stream, id, between, WallTime::max()); });
  EXPECT_EQ(replay.exit_code(), ExitCode::refused);
  EXPECT_TRUE(test::has(replay.what(), "is kept in order")) << replay.what();
}

TEST_F(StreamLanesTest, RetentionAndMergesWaitForTheSlowestLane) {
  const std::int32_t id = ordered_group("g");
  for (int i = 0; i < 20; ++i) {
    insert(1);
    cut_all();
  }
  const auto stream = find_stream(*one_, "events");
  const auto held = [&] {
    const auto rows = one_->run<sql::StreamBlockers>(stream.id, WallTime::min(), WallTime::max());
    return rows.empty() ? std::int64_t{0} : rows.one().events;
  };
  const auto merge = [&] {
    one_->execute("UPDATE weir.stream_chunk SET cut_at = now() - interval '1 h'");
    std::int64_t up_to = 0;
    merge_chunks(*one_, stream, up_to);
    return number("SELECT count(*) FROM weir.stream_chunk");
  };
  EXPECT_EQ(held(), 20);
  EXPECT_EQ(merge(), 20);
  one_->execute("UPDATE weir.stream_lane SET done_chunk = CASE lane WHEN 3 THEN 10 ELSE 20 END");
  EXPECT_EQ(held(), 10);
  EXPECT_EQ(merge(), 11) << "the ten that all lanes have had are one";
  EXPECT_EQ(group_figures(*one_, stream, id).at(0).events, 10) << "one event of sixteen lanes, rounded up";
  // What is dropped all the same is counted as lost.
  const auto lost =
      one_->run<sql::ForgetStreamPartition>(stream.id, "none", WallTime::min(), WallTime::max());
  EXPECT_EQ(lost.one().lost, 10);
  EXPECT_EQ(number("SELECT lost_events FROM weir.stream_group"), 10);
  one_->execute("UPDATE weir.stream_lane SET done_chunk = 20");
  EXPECT_EQ(held(), 0);
  EXPECT_EQ(merge(), 2);
  EXPECT_GT(seek_group(*one_, id, WallTime::min()), 0);
  work_off(*by_sql(options("g"), kNote));
  EXPECT_EQ(not_once(), 0);
}

// Where chunks were merged their numbers lie far apart.
TEST_F(StreamLanesTest, RetentionWaitsForWhatAProcessHasAtHandOfALane) {
  const std::int32_t id = ordered_group("g", 2);
  for (int i = 0; i < 3; ++i) {
    insert(1);
    cut_all();
  }
  const auto stream = find_stream(*one_, "events");
  one_->execute("UPDATE weir.stream_chunk SET number = number * 1000");
  one_->execute("UPDATE weir.stream_cut SET last_chunk = 3000 WHERE last_chunk = 3");
  one_->execute(
      "UPDATE weir.stream_chunk SET first_at = '2020-01-01', last_at = '2020-01-01' WHERE number = 3000");
  const pg::Result year = one_->execute("SELECT '2019-06-01'::timestamptz, '2020-06-01'::timestamptz");
  const auto claimed = [&] {
    const auto rows =
        one_->run<sql::StreamBlockers>(stream.id, year[0].get<WallTime>(0), year[0].get<WallTime>(1));
    EXPECT_EQ(rows.one().events, 1);
    return rows.one().claimed;
  };
  EXPECT_FALSE(claimed());
  one_->execute(
      "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES (4711, 'p', now() + "
      "interval '1 h')");
  EXPECT_EQ(one_->run<sql::ClaimStreamLane>(std::int64_t{4711}, std::int64_t{1}, id, stream.id, 100,
                                            std::vector<std::int64_t>())
                .size(),
            1);
  EXPECT_TRUE(claimed());
  one_->execute("UPDATE weir.stream_claim SET claimed_at = now() - interval '2 h'");
  EXPECT_FALSE(claimed()) << "hung";
}

TEST_F(StreamLanesTest, ALaneOfADeadProcessIsRescuedAndItsLateEndIsRefused) {
  const std::int32_t id = ordered_group("g", 1);
  const auto stream = find_stream(*one_, "events");
  for (int n = 1; n <= 20; ++n) insert_one("k", n);
  cut_all();
  std::int64_t process = 4711;
  const auto lose = [&](std::int32_t wanted) {
    one_->execute(
        "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES ($1, 'dead', now() "
        "+ "
        "interval '1 h')",
        ++process);
    const auto claimed = one_->run<sql::ClaimStreamLane>(process, std::int64_t{1}, id, stream.id, wanted,
                                                         std::vector<std::int64_t>());
    EXPECT_EQ(claimed.size(), 1);
    // Nobody else has it meanwhile.
    EXPECT_TRUE(one_->run<sql::TakeStreamLane>(id, stream.id, std::vector<std::int64_t>()).empty());
    one_->execute("UPDATE weir.process SET dead = true WHERE id = $1", process);
    const auto rescued = one_->run<sql::RescueStreamClaims>();
    EXPECT_EQ(rescued.one().rescued, 1);
    EXPECT_TRUE(
        one_->run<sql::FinishStreamClaim>(process, std::int64_t{1}, std::vector<std::int64_t>()).empty());
  };
  lose(100);
  EXPECT_EQ(number("SELECT most FROM weir.stream_lane"), 12);
  lose(100);
  EXPECT_EQ(number("SELECT most FROM weir.stream_lane"), 1);
  EXPECT_EQ(number("SELECT killed FROM weir.stream_lane"), 0);
  for (int i = 0; i < 3; ++i) lose(100);
  EXPECT_EQ(number("SELECT killed FROM weir.stream_lane"), 3);
  // The one that three processes died with alone is given up, and the lane goes on.
  Seen seen;
  work_off(*leased(options("g"), [&](const work::Item& item) {
    seen.note(item);
    return work::Outcome::done();
  }));
  const auto ids = seen.events()["k"];
  EXPECT_THAT(ids, SizeIs(19));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_EQ(number("SELECT event_id FROM weir.stream_letter WHERE next_at IS NULL"),
            number("SELECT min(event_id) FROM events"));
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_lane WHERE most IS NULL OR most > 1"), 1);
}

// After a few times in a row its first event was taken for one that kills, and was dead.
TEST_F(StreamLanesTest, NoEventIsSuspectedWhereTheServerDidNotAcceptTheEnd) {
  const std::int32_t id = ordered_group("g", 1);
  const auto stream = find_stream(*one_, "events");
  insert_one("k", 1);
  cut_all();
  one_->execute(
      "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES (4711, 'p', now() + "
      "interval '1 h')");
  constexpr std::int64_t kProcess = 4711;
  for (std::int64_t claim = 1; claim <= 4; ++claim) {
    const auto claimed =
        one_->run<sql::ClaimStreamLane>(kProcess, claim, id, stream.id, 1, std::vector<std::int64_t>());
    EXPECT_EQ(claimed.size(), 1);
    const auto given_up = one_->run<sql::GiveUpStreamClaim>(kProcess, claim);
    EXPECT_TRUE(given_up.one().found);
    const auto again = one_->run<sql::GiveUpStreamClaim>(kProcess, claim);
    EXPECT_FALSE(again.one().found);
    EXPECT_EQ(number("SELECT count(*) FROM weir.stream_lane WHERE worker_id IS NULL AND killed = 0 AND most "
                     "IS NULL AND retry_at > now()"),
              1);
    one_->execute("UPDATE weir.stream_lane SET retry_at = NULL");
  }
  std::atomic<int> calls{0};
  work_off(*leased(options("g"), [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  }));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
}

TEST_F(StreamLanesTest, AGroupThatIsPausedTakesNoLaneAndOneThatIsDroppedLeavesNone) {
  const std::int32_t id = ordered_group("g");
  insert(10);
  cut_all();
  const auto stream = find_stream(*one_, "events");
  const std::vector<std::int64_t> none;
  EXPECT_TRUE(pause_group(*one_, id, true));
  EXPECT_TRUE(one_->run<sql::TakeStreamLane>(id, stream.id, none).empty());
  EXPECT_TRUE(pause_group(*one_, id, false));
  EXPECT_EQ(one_->run<sql::TakeStreamLane>(id, stream.id, none).size(), 1);
  drop_group(*one_, stream, id);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_lane"), 0);
  EXPECT_THAT(group_figures(*one_, stream), IsEmpty());
}

// One took as much as all of them were to have ahead, and the others had nothing to do.
TEST_F(StreamLanesTest, LeasedLanesAreWorkedOnSideBySide) {
  ordered_group("g");
  insert(400);  // of seven keys: more in each lane than a process has ahead at first
  std::counting_semaphore<10'000> met(0);
  std::atomic<int> begun{0};
  std::atomic<bool> alone{false};
  work_off(*leased(options("g", 4), [&](const work::Item&) {
    if (++begun == 3) met.release(1'000);
    if (!met.try_acquire_for(10s)) alone = true;
    return work::Outcome::done();
  }));
  EXPECT_EQ(begun, 400);
  EXPECT_FALSE(alone) << "three workers were never at work at the same time";
}

TEST_F(StreamLanesTest, WhoSleepsIsWokenForWhatIsCut) {
  for (const bool leased : {true, false}) {
    std::atomic<int> calls{0};
    const auto handle = [&](const work::Item&) {
      ++calls;
      return work::Outcome::done();
    };
    const std::string name = leased ? "leased" : "tx";
    ordered_group(name);
    one_->execute("TRUNCATE events");
    const auto consumer = leased ? this->leased(options(name, 4, false), handle)
                                 : transactional(options(name, 4, false), handle);
    consumer->start();
    for (int round = 1; round <= 5; ++round) {
      insert(14);
      test::wait_until([&] { return calls >= round * 14; }, "the round's events");
    }
    consumer->stop();
    EXPECT_EQ(calls, 70) << name;
  }
}

}  // namespace
}  // namespace weir::stream
