// Groups of a stream: each event once, whoever consumes, fails or dies.

#include <algorithm>
#include <atomic>
#include <iterator>
#include <set>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "schema/queries/streams.h"
#include "stream/cut.h"
#include "support/stream_test.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

class StreamConsumeTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    create_stream(*one_, {.name = "events", .chunk_events = 10});
    one_->execute_script(
        "CREATE TABLE effect (event_id bigint, n int);"
        "CREATE TABLE other (event_id bigint)");
  }
};

const std::string kInsert = "INSERT INTO effect SELECT event_id, (payload->>'n')::int FROM weir_chunk";

TEST_F(StreamConsumeTest, SqlHasEachEventOnceAndItsChunkAsAWhole) {
  insert(5);
  const auto consumer = by_sql({.group = "g", .from = WallTime{}, .workers = 3, .once = true}, kInsert);
  for (int i = 0; i < 50; ++i) insert(i);
  work_off(*consumer);
  EXPECT_EQ(number("SELECT count(*) FROM events e FULL JOIN (SELECT event_id, count(*) AS times FROM effect "
                   "GROUP BY 1) f "
                   "USING (event_id) WHERE f.times IS DISTINCT FROM 1"),
            0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 0);
}

TEST_F(StreamConsumeTest, TwoGroupsEachHaveAll) {
  const auto one = by_sql({.group = "one", .from = WallTime{}, .once = true}, kInsert);
  const auto two = by_sql({.group = "two", .from = WallTime{}, .once = true},
                          "INSERT INTO other SELECT event_id FROM weir_chunk");
  insert(100);
  work_off(*one);
  work_off(*two);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 100);
  EXPECT_EQ(number("SELECT count(*) FROM other"), 100);
}

TEST_F(StreamConsumeTest, AGroupThatStandsStillHoldsNoOtherUp) {
  std::atomic<int> held{0};
  std::atomic<bool> release{false};
  const auto hold = [&](const work::Item&) {
    ++held;
    test::wait_until([&] { return release.load(); }, "the release");
    return work::Outcome::done();
  };
  group("slow");
  group("leased");
  const auto slow = transactional({.group = "slow", .workers = 1}, hold);
  const auto slower = leased({.group = "leased", .workers = 1}, hold);
  const auto quick = by_sql({.group = "quick", .from = WallTime{}}, kInsert);
  insert(50);
  slow->start();
  slower->start();
  test::wait_until([&] { return held == 2; }, "the slow ones to stand");
  quick->start();
  // Also what is written, cut and handed out while they stand.
  for (int round = 1; round <= 5; ++round) {
    insert(50);
    test::wait_until([&] { return number("SELECT count(*) FROM effect") == (round + 1) * 50; },
                     "the quick one");
  }
  EXPECT_EQ(number("SELECT count(DISTINCT event_id) FROM effect"), 300);
  release = true;
  quick->stop();
  slow->stop();
  slower->stop();
}

TEST_F(StreamConsumeTest, AnEventThatFailsBecomesALetterAndTheOthersAreDone) {
  one_->execute("ALTER TABLE effect ADD CONSTRAINT effect_n_check CHECK (n <> 13)");
  insert(30);
  group("g");
  one_->execute("UPDATE weir.stream_group SET backoff_ms = 3600000, backoff_cap_ms = 3600000");
  const auto consumer = by_sql({.group = "g", .workers = 1}, kInsert);
  consumer->start();
  test::wait_until([&] { return number("SELECT count(*) FROM weir.stream_letter") == 1; }, "the letter");
  test::wait_until([&] { return number("SELECT count(*) FROM effect") == 29; }, "the others");
  consumer->stop();
  EXPECT_EQ(number("SELECT (event->'payload'->>'n')::int8 FROM weir.stream_letter"), 13);
  EXPECT_EQ(number("SELECT attempt::int8 FROM weir.stream_letter"), 1);
  // Mended, it is tried again by itself.
  one_->execute_script(
      "ALTER TABLE effect DROP CONSTRAINT effect_n_check; UPDATE weir.stream_letter SET next_at = now()");
  const auto again = by_sql({.group = "g", .once = true}, kInsert);
  work_off(*again);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 30);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
}

TEST_F(StreamConsumeTest, HandlersHaveEachEventWithItsKeyAndPayloadHoweverLarge) {
  insert(20);
  one_->execute("INSERT INTO events (key, payload) VALUES ('large', to_jsonb(repeat('x', 100000)))");
  insert(20);
  std::atomic<int> calls{0};
  std::atomic<std::size_t> largest{0};
  for (const bool leased : {true, false}) {
    calls = 0;
    largest = 0;
    const auto handle = [&](const work::Item& item) {
      ++calls;
      if (item.kind == "large") largest = item.payload.size();
      return work::Outcome::done();
    };
    const ConsumerOptions options{.group = leased ? "leased" : "tx", .from = WallTime{}, .once = true};
    const auto consumer = leased ? this->leased(options, handle) : transactional(options, handle);
    work_off(*consumer);
    EXPECT_EQ(calls, 41) << leased;
    EXPECT_EQ(largest, 100002U) << leased;
    EXPECT_EQ(consumer->counts().done, 41);
  }
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_claim"), 0);
}

TEST_F(StreamConsumeTest, WhatADeadProcessHadIsRescuedAndItsLateEndIsRefused) {
  insert(25);
  std::atomic<int> calls{0};
  // A process that claimed and was never heard of again.
  const std::int32_t group = this->group("g");
  cut_all();
  one_->execute(
      "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES (4711, 'dead', now() "
      "+ "
      "interval '1 h')");
  const auto claimed = one_->run<sql::ClaimStreamWork>(std::int64_t{4711}, std::int64_t{1}, group,
                                                       std::int64_t{-1}, 2, std::vector<std::int64_t>());
  ASSERT_EQ(claimed.size(), 2);
  one_->execute("UPDATE weir.process SET lease_until = now() - interval '1 s' WHERE id = 4711");
  const auto consumer = leased({.group = "g", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  });
  work_off(*consumer);
  EXPECT_EQ(calls, 25);
  EXPECT_TRUE(
      one_->run<sql::FinishStreamClaim>(std::int64_t{4711}, std::int64_t{1}, std::vector<std::int64_t>())
          .empty());
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 0);
}

TEST_F(StreamConsumeTest, AHandlerHasTheEventsOfATransactionInTheOrderOfTheirIds) {
  one_->execute_script(
      "INSERT INTO events (at, payload) SELECT now() + n % 2 * interval '1 day', '{}' FROM "
      "generate_series(1, 9) n");
  pg::Session late = session();
  late.execute("BEGIN");
  std::set<std::int64_t> lates;
  for (const pg::Row row :
       late.execute("INSERT INTO events (at, payload) SELECT now() + n % 3 * interval '1 day', '{}' FROM "
                    "generate_series(1, 9) n RETURNING event_id"))
    lates.insert(row.get<std::int64_t>(0));
  cut_all();
  insert(1);
  cut_all();
  late.execute("COMMIT");
  for (const bool leased : {true, false}) {
    std::vector<std::int64_t> ids;
    const auto note = [&](const work::Item& item) {
      ids.push_back(item.id);
      return work::Outcome::done();
    };
    const ConsumerOptions options{
        .group = leased ? "leased" : "tx", .from = WallTime{}, .workers = 1, .once = true};
    work_off(leased ? *this->leased(options, note) : *transactional(options, note));
    ASSERT_EQ(ids.size(), 19U);
    EXPECT_TRUE(std::is_sorted(ids.begin(), ids.begin() + 9))
        << leased << fmt::format(" {}", fmt::join(ids, ","));
    // Those of the late one are together in one chunk, with others or without.
    std::vector<std::int64_t> of_late;
    std::copy_if(ids.begin(), ids.end(), std::back_inserter(of_late),
                 [&](std::int64_t id) { return lates.contains(id); });
    EXPECT_EQ(of_late.size(), 9U);
    EXPECT_TRUE(std::is_sorted(of_late.begin(), of_late.end()))
        << leased << fmt::format(" {}", fmt::join(ids, ","));
  }
}

}  // namespace
}  // namespace weir::stream
