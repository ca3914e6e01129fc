// Partitions of a stream: made ahead, and dropped when everybody has had them.

#include <atomic>
#include <future>
#include <optional>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "schema/queries/streams.h"
#include "schema/queries/streams_lanes.h"
#include "stream/partition_keeper.h"
#include "support/errors.h"
#include "support/stream_test.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StreamKeepTest : public test::StreamTest {
 protected:
  /// Of days, kept for one; with yesterday, the day before, and so on for `past` days.
  StreamDefinition make(int past, bool with_default = false) {
    const auto stream = create_stream(*one_, {.name = "events", .retain = 24h, .with_default = with_default});
    for (int i = 1; i <= past; ++i) {
      const WallTime then = now() - std::chrono::hours(24 * i);
      one_->execute("BEGIN");
      add(stream, span_at(then, 24h));
      one_->execute("COMMIT");
    }
    return stream;
  }
  void add(const StreamDefinition& stream, const Span& span);
  WallTime now() { return one_->execute("SELECT clock_timestamp()")[0].get<WallTime>(0); }
  std::int64_t partitions() {
    return number("SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass");
  }
};

void StreamKeepTest::add(const StreamDefinition& stream, const Span& span) {
  const std::string name = partition_name(stream.table, span);
  one_->execute("CREATE TABLE " + name + " (LIKE events INCLUDING DEFAULTS)");
  one_->execute("ALTER TABLE " + name +
                " ADD CONSTRAINT weir_xid_is_not_written CHECK (xid = pg_current_xact_id())");
  const auto text = one_->execute("SELECT format('ALTER TABLE events ATTACH PARTITION " + name +
                                      " FOR VALUES FROM (%L) TO (%L)', $1::timestamptz, $2::timestamptz)",
                                  span.from, span.to)[0]
                        .get<std::string>(0);
  one_->execute(text);
}

TEST_F(StreamKeepTest, WhoseEventsNeedAKeyRefusesThemWithoutOneInEveryPartition) {
  create_stream(*one_, {.name = "keyed", .needs_key = true, .with_default = true});
  for (const std::string at : {"now()", "now() - interval '1 year'"}) {
    one_->execute("INSERT INTO keyed (at, key, payload) VALUES (" + at + ", 'k', '1')");
    try {
      one_->execute("INSERT INTO keyed (at, payload) VALUES (" + at + ", '1')");
      ADD_FAILURE() << at;
    } catch (const pg::Error& error) {
      EXPECT_EQ(error.sqlstate(), "23502");
    }
  }
}

TEST_F(StreamKeepTest, MakesWhatIsMissingAheadAndOnlyThat) {
  const auto stream = make(0);
  EXPECT_EQ(partitions(), 4);
  EXPECT_THAT(keep_partitions(*one_, stream).made, IsEmpty());
  one_->execute("UPDATE weir.stream SET ahead = 6");
  EXPECT_THAT(keep_partitions(*one_, stream).made, SizeIs(3));
  EXPECT_EQ(partitions(), 7);
  insert(1, "now() + interval '6 days'");
  EXPECT_THROW(insert(1, "now() + interval '8 days'"), pg::Error);
}

TEST_F(StreamKeepTest, DropsWhatIsOldOnceEveryGroupHasHadIt) {
  const auto stream = make(4);
  const std::int32_t fast = group("fast");
  const std::int32_t slow = group("slow");
  insert(5, "now() - interval '3 days'");
  cut_all();
  one_->execute("DELETE FROM weir.stream_work WHERE group_id = $1", fast);
  const KeepReport first = keep_partitions(*one_, stream);
  EXPECT_THAT(first.dropped, SizeIs(2));  // of the days -2, -3 and -4 the one with events is kept
  ASSERT_THAT(first.held, SizeIs(1));
  EXPECT_EQ(first.held[0].group, "slow");
  EXPECT_EQ(first.held[0].events, 5);
  one_->execute("DELETE FROM weir.stream_work WHERE group_id = $1", slow);
  EXPECT_THAT(keep_partitions(*one_, stream).dropped, SizeIs(1));
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_detached"), 0);
  EXPECT_EQ(partitions(), 5);
}

TEST_F(StreamKeepTest, AnAbandonedGroupHoldsItForALimitedTimeAndItsLossIsCounted) {
  const auto stream = make(4);
  group("abandoned");
  insert(7, "now() - interval '3 days'");
  insert(2);
  cut_all();
  one_->execute("UPDATE weir.stream SET hold_ms = 1000");
  const KeepReport report = keep_partitions(*one_, stream);
  EXPECT_THAT(report.dropped, SizeIs(3));
  EXPECT_EQ(report.lost, 7);
  EXPECT_EQ(number("SELECT lost_events FROM weir.stream_group"), 7);
  // What is younger it still has before it.
  std::atomic<int> calls{0};
  const auto consumer = leased({.group = "abandoned", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  });
  work_off(*consumer);
  EXPECT_EQ(calls, 2);
}

// It stays before the lanes of a group that is kept in order, and was counted anew with every attempt.
TEST_F(StreamKeepTest, WhatIsLostIsCountedOnceHoweverOftenItsPartitionCannotGo) {
  const auto stream = make(3, true);
  one_->run<sql::MakeOrderedStreamGroup>(stream.id, "ordered", std::optional(WallTime{}), 16);
  insert(7, "now() - interval '3 days'");
  cut_all();
  one_->execute("UPDATE weir.stream SET hold_ms = 1000");
  pg::Session reader = session();
  reader.execute_script("BEGIN; SELECT count(*) FROM events");
  EXPECT_EQ(keep_partitions(*one_, stream).lost, 7);
  const KeepReport again = keep_partitions(*one_, stream);
  EXPECT_THAT(again.dropped, IsEmpty());
  EXPECT_EQ(again.lost, 0);
  reader.execute("COMMIT");
  test::wait_until(
      [&] {
        keep_partitions(*one_, stream);  // autovacuum may be at it: then it goes the next time
        return number("SELECT count(*) FROM weir.stream_detached") == 0;
      },
      "the partitions to go");
  EXPECT_EQ(number("SELECT count(*) FROM events"), 0);
  EXPECT_EQ(number("SELECT lost_events FROM weir.stream_group"), 7);
}

TEST_F(StreamKeepTest, WhatIsNotCutYetStays) {
  const auto stream = make(3);
  insert(3, "now() - interval '3 days'");
  EXPECT_THAT(keep_partitions(*one_, stream).dropped, SizeIs(1));
  cut_all();
  EXPECT_THAT(keep_partitions(*one_, stream).dropped, SizeIs(1));
}

TEST_F(StreamKeepTest, WhatIsWrittenToAPartitionUntilTheVeryMomentIsNotLostWithIt) {
  const auto stream = make(3);
  group("g");
  pg::Session late = session();
  late.execute_script("BEGIN; INSERT INTO events (at, payload) VALUES (now() - interval '3 days', '{}')");
  // Nobody sees the event yet.
  const KeepReport first = keep_partitions(*one_, stream);
  EXPECT_THAT(first.busy, SizeIs(2));
  EXPECT_THAT(first.dropped, IsEmpty());
  late.execute("COMMIT");
  keep_partitions(*one_, stream);
  cut_all();
  const KeepReport last = keep_partitions(*one_, stream);
  EXPECT_THAT(last.held, SizeIs(1));
  EXPECT_EQ(number("SELECT count(*) FROM events"), 1);
  std::atomic<int> calls{0};
  const auto consumer = leased({.group = "g", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  });
  work_off(*consumer);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(number("SELECT lost_events FROM weir.stream_group"), 0);
}

TEST_F(StreamKeepTest, APartitionThatIsOnItsWayOutTakesNothingMore) {
  const auto stream = make(3);
  pg::Session reader = session();
  reader.execute_script("BEGIN; SELECT count(*) FROM events");
  keep_partitions(*one_, stream);  // begun, and waits for the reader
  try {
    insert(1, "now() - interval '3 days'");
    ADD_FAILURE() << "it was let in";
  } catch (const pg::Error& error) {
    EXPECT_TRUE(test::has(error.what(), "no partition") || test::has(error.what(), "too old"))
        << error.what();
  }
  reader.execute("COMMIT");
}

TEST_F(StreamKeepTest, NobodyIsGivenChunksOfAPartitionThatIsOnItsWayOut) {
  const auto stream = make(3);
  insert(7, "now() - interval '3 days'");
  insert(2);
  cut_all();
  const std::int32_t g = group("g", std::nullopt);
  pg::Session reader = session();
  reader.execute_script("BEGIN; SELECT count(*) FROM events");
  EXPECT_THAT(keep_partitions(*one_, stream).busy, SizeIs(1));
  const auto refused =
      test::error_of([&] { one_->execute("SELECT weir.seek_stream_group($1, '-infinity')", g); });
  EXPECT_TRUE(test::has(refused.what(), "being dropped")) << refused.what();
  one_->execute("SELECT weir.seek_stream_group($1, now() - interval '1 h')", g);
  reader.execute("COMMIT");
  EXPECT_THAT(keep_partitions(*one_, stream).dropped, SizeIs(2));
  std::atomic<int> calls{0};
  one_->execute("SELECT weir.seek_stream_group($1, '-infinity')", g);
  work_off(*leased({.group = "g", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  }));
  EXPECT_EQ(calls, 2);
}

TEST_F(StreamKeepTest, APartitionThatWasShutAndStaysIsOpenedAgain) {
  const auto stream = make(3);
  one_->execute_script(
      "DO $$ DECLARE p regclass; BEGIN FOR p IN SELECT inhrelid FROM pg_inherits WHERE inhparent = "
      "'events'::regclass LOOP "
      "EXECUTE format('CREATE TRIGGER weir_sealed BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION "
      "weir.refuse_late_event()', p); END LOOP; END $$");
  EXPECT_THROW(insert(1), pg::Error);
  EXPECT_THAT(keep_partitions(*one_, stream).busy, IsEmpty());
  EXPECT_EQ(number("SELECT count(*) FROM pg_trigger WHERE tgname = 'weir_sealed' AND tgenabled <> 'D'"), 0);
  insert(1);
}

TEST_F(StreamKeepTest, OnlyTheEventsThatAGroupWantedAreLostToIt) {
  const auto stream = make(3);
  one_->execute(
      "INSERT INTO events (at, payload) SELECT now() - interval '3 days' + n * interval '1 s', '{}' FROM "
      "generate_series(1, 10) "
      "n");
  cut_all();
  const std::int32_t g = group("g", std::nullopt);
  one_->execute("SELECT weir.seek_stream_group($1, (SELECT at FROM events ORDER BY at OFFSET 7 LIMIT 1))", g);
  one_->execute("UPDATE weir.stream SET hold_ms = 0");
  EXPECT_EQ(keep_partitions(*one_, stream).lost, 3);
  EXPECT_EQ(number("SELECT lost_events FROM weir.stream_group"), 3);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 0);
}

TEST_F(StreamKeepTest, APartitionThatCannotBeMadeDoesNotKeepOldOnes) {
  const auto stream = make(3, true);
  one_->execute("UPDATE weir.stream SET ahead = 5");
  insert(1, "now() + interval '5 days'");  // in the default partition
  const KeepReport report = keep_partitions(*one_, stream);
  EXPECT_THAT(report.made, SizeIs(1));
  EXPECT_THAT(report.busy, SizeIs(1));
  EXPECT_THAT(report.dropped, SizeIs(2));
}

TEST_F(StreamKeepTest, AReaderIsNotWaitedForLongAndHoldsNobodyUp) {
  const auto stream = make(3);
  pg::Session reader = session();
  reader.execute_script("BEGIN; SELECT count(*) FROM events");
  const KeepReport report = keep_partitions(*one_, stream);
  EXPECT_THAT(report.dropped, IsEmpty());
  EXPECT_THAT(report.busy, SizeIs(1));  // the server begins one at a time
  insert(1);
  reader.execute("COMMIT");
  // A detach that was begun is ended by the next one.
  EXPECT_THAT(keep_partitions(*one_, stream).dropped, SizeIs(2));
  EXPECT_EQ(partitions(), 5);
}

TEST_F(StreamKeepTest, WhoHasAChunkInATransactionIsNotWaitedForWhileNobodyCanCut) {
  const auto stream = make(3);
  const std::int32_t g = group("g");
  insert(7, "now() - interval '3 days'");
  cut_all();
  one_->execute("UPDATE weir.stream SET hold_ms = 1000");
  pg::Session hung = session();
  hung.execute("BEGIN");
  EXPECT_EQ(hung.run<sql::TakeStreamWork>(g, std::int64_t{-1}, 10).size(), 1);
  one_->set_timeout(10s);
  EXPECT_THAT(keep_partitions(*one_, stream).busy, SizeIs(1));
  insert(2);
  cut_all();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 2);
  EXPECT_EQ(number("SELECT lost_events FROM weir.stream_group"), 0);
  hung.execute("ROLLBACK");
  EXPECT_EQ(keep_partitions(*one_, stream).lost, 7);
}

TEST_F(StreamKeepTest, WithADefaultPartitionEventsOfAnyTimeAreTakenAndOldOnesGoAllTheSame) {
  const auto stream = make(3, true);
  insert(2, "now() - interval '1000 days'");
  insert(2, "now() + interval '1000 days'");
  group("g");
  cut_all();
  // One chunk has events of all these times.
  EXPECT_THAT(keep_partitions(*one_, stream).dropped, IsEmpty());
  std::atomic<int> calls{0};
  const auto consumer = leased({.group = "g", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  });
  work_off(*consumer);
  EXPECT_EQ(calls, 4);
  // Whose lock is not to be had at once goes the next time: autovacuum may be at it.
  test::wait_until(
      [&] {
        keep_partitions(*one_, stream);
        return partitions() == 6;
      },
      "the old partitions to go");
  // They can be read again, for as long as they are there.
  one_->execute("SELECT weir.seek_stream_group(id, '-infinity') FROM weir.stream_group");
  work_off(*consumer);
  EXPECT_EQ(calls, 8);
}

TEST_F(StreamKeepTest, NoPartitionBeginsToGoWhileAGroupIsSetBackToIt) {
  const auto stream = make(3);
  insert(7, "now() - interval '3 days'");
  cut_all();
  const std::int32_t g = group("g", std::nullopt);
  pg::Session seeking = session();
  seeking.execute("BEGIN");
  seeking.execute("SELECT weir.seek_stream_group($1, '-infinity')", g);
  one_->set_timeout(10s);
  const KeepReport report = keep_partitions(*one_, stream);
  EXPECT_THAT(report.dropped, IsEmpty());
  EXPECT_FALSE(report.busy.empty());
  insert(2);
  cut_all();
  seeking.execute("COMMIT");
  std::atomic<int> calls{0};
  work_off(*leased({.group = "g", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  }));
  EXPECT_EQ(calls, 9);
  EXPECT_EQ(number("SELECT lost_events FROM weir.stream_group"), 0);
}

TEST_F(StreamKeepTest, ATimeWithoutAPartitionIsRefusedUntilSomebodyMakesOne) {
  const auto stream = make(0);
  for (const std::string at : {"now() - interval '3 days'", "now() + interval '30 days'"}) {
    try {
      insert(1, at);
      ADD_FAILURE() << at;
    } catch (const pg::Error& error) {
      EXPECT_EQ(error.sqlstate(), "23514") << at;
      EXPECT_TRUE(test::has(error.what(), "no partition of relation")) << error.what();
    }
  }
  group("g");
  add(stream, span_at(now() - std::chrono::hours(72), 24h));
  add(stream, span_at(now() + std::chrono::hours(24 * 30), 24h));
  insert(1, "now() - interval '3 days'");
  insert(1, "now() + interval '30 days'");
  std::atomic<int> calls{0};
  work_off(*leased({.group = "g", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  }));
  EXPECT_EQ(calls, 2);
}

// Whoever detached it was killed: while the server waited for those who read it, and before it was dropped.
TEST_F(StreamKeepTest, ADetachThatWasInterruptedIsEndedByTheNextOne) {
  const auto stream = make(3);
  insert(2, "now() - interval '3 days'");
  cut_all();
  group("g", std::nullopt);
  const Span three = span_at(now() - std::chrono::hours(72), 24h);
  const Span two = span_at(now() - std::chrono::hours(48), 24h);
  for (const Span& span : {three, two}) {
    one_->run<sql::BeginStreamDetach>(stream.id, partition_name(stream.table, span), span.from, span.to,
                                      false);
  }
  one_->execute("ALTER TABLE events DETACH PARTITION " + partition_name(stream.table, two));
  pg::Session reader = session();
  reader.execute_script("BEGIN; SELECT count(*) FROM events");
  auto detaching = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    session.execute("ALTER TABLE events DETACH PARTITION " + partition_name(stream.table, three) +
                    " CONCURRENTLY");
  });
  const std::string waiting =
      "SELECT max(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
      "AND query LIKE '%CONCURRENTLY'";
  test::wait_until(
      [&] { return number("SELECT count(*) FROM (" + waiting + ") w WHERE max IS NOT NULL") == 1; },
      "the server to wait for the reader");
  one_->execute("SELECT pg_terminate_backend((" + waiting + "))");
  EXPECT_THROW(detaching.get(), pg::Error);
  EXPECT_EQ(number("SELECT count(*) FROM pg_inherits WHERE inhdetachpending"), 1);

  // Meanwhile all goes on.
  insert(5);
  std::atomic<int> calls{0};
  work_off(*leased({.group = "g", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  }));
  EXPECT_EQ(calls, 5);
  reader.execute("COMMIT");
  test::wait_until(
      [&] {
        keep_partitions(*one_, stream);  // autovacuum may be at it: then it goes the next time
        return number("SELECT count(*) FROM weir.stream_detached") == 0;
      },
      "both to go");
  EXPECT_EQ(number("SELECT count(*) FROM pg_tables WHERE tablename IN ('" +
                   partition_name(stream.table, two) + "', '" + partition_name(stream.table, three) + "')"),
            0);
  EXPECT_EQ(number("SELECT count(*) FROM events"), 5);
}

TEST_F(StreamKeepTest, LettersOutliveTheirPartition) {
  const auto stream = make(3);
  one_->execute("CREATE TABLE effect (n int CHECK (n <> 2), key text)");
  const std::string sql = "INSERT INTO effect SELECT (payload->>'n')::int, key FROM weir_chunk";
  const auto failing = by_sql({.group = "g", .from = WallTime{}}, sql);
  insert(3, "now() - interval '3 days'");
  failing->start();
  test::wait_until([&] { return number("SELECT count(*) FROM weir.stream_letter") == 1; }, "the letter");
  failing->stop();
  test::wait_until(
      [&] {
        keep_partitions(*one_, stream);  // autovacuum may be at it: then it goes the next time
        return number("SELECT count(*) FROM events") == 0;
      },
      "the partition to go");
  one_->execute_script(
      "ALTER TABLE effect DROP CONSTRAINT effect_n_check; UPDATE weir.stream_letter SET next_at = now()");
  const auto again = by_sql({.group = "g", .once = true}, sql);
  work_off(*again);
  EXPECT_EQ(number("SELECT count(*) FROM effect WHERE n = 2 AND key = 'k2'"), 1);
}

}  // namespace
}  // namespace weir::stream
