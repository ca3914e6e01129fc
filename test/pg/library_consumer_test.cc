// The public headers for streams, as a program uses them.

#include <atomic>

#include <gtest/gtest.h>

#include <weir/consumer.h>

#include "support/errors.h"
#include "support/stream_test.h"

namespace weir {
namespace {

using test::error_of;
using test::has;

class LibraryConsumerTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    stream::create_stream(*one_, {.name = "events", .chunk_events = 10});
    one_->execute("CREATE TABLE effect (id bigint, key text, n int CHECK (n <> 13))");
    insert(30);
  }
  void run(const Consumer::Handler& handler, Delivery delivery = Delivery::transactional) {
    Consumer consumer(url(),
                      {.stream = "events",
                       .group = "g",
                       .delivery = delivery,
                       .from = std::chrono::system_clock::time_point{},
                       .once = true},
                      handler);
    consumer.run();
  }
};

TEST_F(LibraryConsumerTest, WhatAHandlerWritesCommitsWithTheProgressOfItsGroup) {
  one_->execute("ALTER TABLE effect DROP CONSTRAINT effect_n_check");
  run([](Events& events) {
    for (std::size_t i = 0; i < events.size(); ++i) {
      events.transaction().execute("INSERT INTO effect SELECT $1::int8, $2::text, ($3::jsonb->>'n')::int",
                                   events[i].id, events[i].key, events[i].payload);
    }
  });
  EXPECT_EQ(
      number("SELECT count(*) FROM events e JOIN effect f ON f.id = e.event_id AND f.key = e.key AND f.n = "
             "(e.payload->>'n')::int"),
      30);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 30);
}

TEST_F(LibraryConsumerTest, WhatFailsIsFoundAndTheOthersAreDone) {
  one_->execute(
      "INSERT INTO weir.stream_group (stream_id, name, max_attempts) SELECT id, 'g', 1 FROM weir.stream");
  one_->execute("SELECT weir.seek_stream_group(id, '-infinity') FROM weir.stream_group");
  run([](Events& events) {
    for (std::size_t i = 0; i < events.size(); ++i) {
      if (has(events[i].payload, "\"n\": 7}")) {
        events.settle(i, Outcome::discarded("no sevens"));
        continue;
      }
      events.transaction().execute("INSERT INTO effect (n) SELECT ($1::jsonb->>'n')::int", events[i].payload);
    }
  });
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 28);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL AND error = 'no sevens'"),
            1);
  EXPECT_EQ(
      number(
          "SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL AND error LIKE '%effect_n_check%'"),
      1);
}

TEST_F(LibraryConsumerTest, InAnOrderedGroupEachKeyIsInOrder) {
  one_->execute_script(
      "ALTER TABLE effect DROP CONSTRAINT effect_n_check; ALTER TABLE effect ADD COLUMN place bigint "
      "GENERATED "
      "ALWAYS AS IDENTITY");
  const auto consume = [&](std::size_t lanes, bool ordered) {
    Consumer consumer(
        url(),
        {.stream = "events",
         .group = "g",
         .from = std::chrono::system_clock::time_point{},
         .once = true,
         .ordered = ordered,
         .lanes = lanes},
        [](Events& events) {
          for (std::size_t i = 0; i < events.size(); ++i) {
            events.transaction().execute(
                "INSERT INTO effect (id, key, n) SELECT $1::int8, $2::text, ($3::jsonb->>'n')::int",
                events[i].id, events[i].key, events[i].payload);
          }
        });
    consumer.run();
  };
  consume(5, true);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_lane"), 5);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 30);
  EXPECT_EQ(
      number("SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY key ORDER BY place) AS before FROM "
             "effect) e WHERE n <= before"),
      0);
  EXPECT_TRUE(has(error_of([&] { consume(6, true); }).what(), "has 5 lanes, and not 6"));
  EXPECT_TRUE(has(error_of([&] { consume(5, false); }).what(), "lanes are of a consumer that is ordered"));
}

TEST_F(LibraryConsumerTest, LeasedEventsHaveNoTransaction) {
  std::atomic<int> seen{0};
  std::atomic<bool> refused{false};
  run(
      [&](Events& events) {
        seen += static_cast<int>(events.size());
        refused = error_of([&] { static_cast<void>(events.transaction()); }).failure() == Failure::usage;
      },
      Delivery::leased);
  EXPECT_EQ(seen, 30);
  EXPECT_TRUE(refused);
}

TEST_F(LibraryConsumerTest, WhatCannotBeIsRefusedAtOnce) {
  const auto make = [&](const ConsumerOptions& options) {
    return error_of([&] { Consumer(url(), options, [](Events&) {}).start(); });
  };
  EXPECT_EQ(make({.group = "g"}).failure(), Failure::usage);
  EXPECT_EQ(make({.stream = "events"}).failure(), Failure::usage);
  EXPECT_EQ(make({.stream = "events", .group = "g", .workers = 0}).failure(), Failure::usage);
  EXPECT_TRUE(has(make({.stream = "evnts", .group = "g"}).remedy(), "events"));
}

}  // namespace
}  // namespace weir
