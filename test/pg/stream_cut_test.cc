// What is committed to a stream is cut into chunks, once and all of it, whatever its producers do.

#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "stream/chunk_row.h"
#include "stream/cut.h"
#include "stream/stream.h"
#include "support/database.h"
#include "support/errors.h"

namespace weir::stream {
namespace {

class StreamCutTest : public test::SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    one_.emplace(session());
    stream_ = create_stream(*one_, {.name = "events", .chunk_events = 10});
    sql_.emplace(stream_);
  }
  void TearDown() override {
    one_.reset();
    SchemaTest::TearDown();
  }

  CutReport cut_all() {
    CutReport all;
    for (bool more = true; more;) {
      const CutReport report = cut(*one_, stream_, *sql_);
      all.events += report.events;
      all.chunks += report.chunks;
      more = report.more;
    }
    return all;
  }

  /// The ids of events by chunk, read as consumers read them.
  std::multiset<std::int64_t> in_chunks(pg::Session& session, std::int32_t group) {
    std::multiset<std::int64_t> ids;
    pg::Transaction transaction(session);
    const auto rows = session.run<sql::TakeStreamWork>(group, std::int64_t{-1}, 1'000'000);
    for (const auto row : rows) {
      const Chunk chunk = chunk_of(row);
      const pg::Result events = session.execute(sql_->select({chunk}, "e.event_id"));
      EXPECT_EQ(events.rows(), chunk.events) << "chunk " << chunk.number;
      for (const pg::Row event : events) ids.insert(event.get<std::int64_t>(0));
    }
    return ids;
  }
  std::multiset<std::int64_t> committed(pg::Session& session) {
    std::multiset<std::int64_t> ids;
    for (const pg::Row row : session.execute("SELECT event_id FROM events"))
      ids.insert(row.get<std::int64_t>(0));
    return ids;
  }
  std::int32_t group(const std::string& name) {
    const auto made = one_->run<sql::MakeStreamGroup>(stream_.id, name, std::nullopt);
    return made.one().id;
  }

  std::optional<pg::Session> one_;
  StreamDefinition stream_;
  std::optional<StreamSql> sql_;
};

void insert(pg::Session& session, int events) {
  session.execute(
      fmt::format("INSERT INTO events (key, payload) SELECT 'k' || n % 7, jsonb_build_object('n', n) FROM "
                  "generate_series(1, {}) n",
                  events));
}

TEST_F(StreamCutTest, AProducerThatIsStillOpenDelaysOnlyItsOwnEvents) {
  const std::int32_t group = this->group("g");
  pg::Session slow = session();
  slow.execute("BEGIN");
  insert(slow, 25);
  insert(*one_, 5);
  EXPECT_EQ(cut_all().events, 5);
  insert(*one_, 7);
  EXPECT_EQ(cut_all().events, 7);
  EXPECT_EQ(cut_all().events, 0);
  slow.execute("COMMIT");
  EXPECT_EQ(cut_all().events, 25);
  EXPECT_EQ(cut_all().events, 0);
  EXPECT_EQ(in_chunks(*one_, group), committed(*one_));
}

TEST_F(StreamCutTest, WhatIsRolledBackIsNeverSeen) {
  const std::int32_t group = this->group("g");
  one_->execute("BEGIN");
  insert(*one_, 3);
  one_->execute("SAVEPOINT s");
  insert(*one_, 4);
  one_->execute("ROLLBACK TO s");
  insert(*one_, 2);
  one_->execute("COMMIT");
  one_->execute("BEGIN");
  insert(*one_, 100);
  one_->execute("ROLLBACK");
  EXPECT_EQ(cut_all().events, 5);
  EXPECT_EQ(in_chunks(*one_, group), committed(*one_));
}

TEST_F(StreamCutTest, OfTwoThatCutAtOnceOneDoes) {
  pg::Session two = session();
  insert(*one_, 30);
  two.execute("SET lock_timeout = '20s'");
  two.execute("BEGIN");
  two.execute("SELECT FROM weir.stream FOR UPDATE");  // the first one waits in its store
  std::jthread first([&] {
    pg::Session session = this->session();
    cut(session, stream_, *sql_);
  });
  const std::int64_t number = 1;
  two.run<sql::StoreStreamCut>(
      stream_.id, number, std::int64_t{0}, std::vector<std::int64_t>{}, std::vector<std::int64_t>{},
      std::vector<std::int64_t>{}, std::vector<std::optional<std::int64_t>>{},
      std::vector<std::optional<std::int64_t>>{}, std::vector<std::int64_t>{}, std::vector<WallTime>{},
      std::vector<WallTime>{}, std::vector<std::string_view>{}, std::vector<std::string_view>{});
  two.execute("ROLLBACK");
  first.join();
  EXPECT_EQ(two.execute("SELECT count(*) FROM weir.stream_cut")[0].get<std::int64_t>(0), 2);
}

TEST_F(StreamCutTest, AGroupHasWhatIsCutAfterItWasMade) {
  insert(*one_, 12);
  cut_all();
  const std::int32_t late = group("late");
  EXPECT_TRUE(in_chunks(*one_, late).empty());
  insert(*one_, 3);
  cut_all();
  EXPECT_EQ(in_chunks(*one_, late).size(), 3U);
  one_->execute("SELECT weir.seek_stream_group($1, '-infinity')", late);
  EXPECT_EQ(in_chunks(*one_, late), committed(*one_));
}

TEST_F(StreamCutTest, ALargeTransactionIsCutIntoSlicesByItself) {
  const std::int32_t group = this->group("g");
  insert(*one_, 3);
  one_->execute("BEGIN");
  insert(*one_, 400);
  one_->execute("DELETE FROM events WHERE event_id % 3 = 0");
  one_->execute("COMMIT");
  insert(*one_, 3);
  const CutReport report = cut_all();
  EXPECT_GT(report.chunks, 26);
  EXPECT_EQ(in_chunks(*one_, group), committed(*one_));
}

TEST_F(StreamCutTest, EventsOfAnyTimeAreFoundInTheirPartitions) {
  const std::int32_t group = this->group("g");
  for (int days = 0; days < 3; ++days) {
    one_->execute("INSERT INTO events (at, payload) VALUES (now() + $1::int4 * interval '1 day', '{}')",
                  days);
  }
  EXPECT_EQ(cut_all().events, 3);
  EXPECT_EQ(in_chunks(*one_, group), committed(*one_));
  EXPECT_THROW(one_->execute("INSERT INTO events (at, payload) VALUES ('2001-01-01', '{}')"), pg::Error);
}

TEST_F(StreamCutTest, AnotherServersTransactionsAreRefusedWithTheRemedy) {
  one_->execute("UPDATE weir.stream SET server_id = 1");
  stream_ = find_stream(*one_, "events");
  try {
    cut(*one_, stream_, *sql_);
    FAIL() << "it cut";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::refused);
    EXPECT_NE(error.remedy().find("weir stream rebase events"), std::string::npos);
  }
}

TEST_F(StreamCutTest, EventsAreNotUpdated) {
  insert(*one_, 1);
  EXPECT_THROW(one_->execute("UPDATE events SET key = 'x'"), pg::Error);
}

/// Eight producers that commit out of order, with savepoints, rollbacks, prepared transactions and large
/// statements; cuts and readers in between.
class StreamProducersTest : public StreamCutTest, public ::testing::WithParamInterface<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, StreamProducersTest, ::testing::Range(0U, 4U));

TEST_P(StreamProducersTest, EachEventIsReadOnceByEachGroup) {
  constexpr int kProducers = 8;
  std::mt19937 random(GetParam());
  const std::int32_t early = group("early");
  std::vector<pg::Session> producers;
  std::vector<bool> open(kProducers, false);
  for (int i = 0; i < kProducers; ++i) producers.push_back(session());
  producers[0].execute("ALTER TABLE events ALTER event_id SET CACHE 50");
  std::multiset<std::int64_t> read;
  int prepared = 0;
  for (int step = 0; step < 400; ++step) {
    const std::size_t which = random() % kProducers;
    pg::Session& producer = producers[which];
    if (!open[which]) {
      producer.execute("BEGIN");
      open[which] = true;
    }
    switch (random() % 8) {
      case 0: insert(producer, 1 + static_cast<int>(random() % 60)); break;
      case 1:
        producer.execute("SAVEPOINT s");
        insert(producer, 3);
        producer.execute(random() % 2 == 0 ? "ROLLBACK TO s" : "RELEASE s");
        break;
      case 2:
      case 3:
        producer.execute(random() % 4 == 0 ? "ROLLBACK" : "COMMIT");
        open[which] = false;
        break;
      case 4:
        if (random() % 4 == 0) {
          producer.execute(fmt::format("PREPARE TRANSACTION 'p{}'", prepared++));
          open[which] = false;
        }
        break;
      case 5:
        if (prepared > 0 && random() % 3 == 0) {
          one_->execute(
              fmt::format("{} PREPARED 'p{}'", random() % 3 == 0 ? "ROLLBACK" : "COMMIT", --prepared));
        }
        break;
      case 6: cut_all(); break;
      default: insert(producer, 1);
    }
    if (step % 40 == 39) read.merge(in_chunks(*one_, early));
  }
  for (std::size_t i = 0; i < producers.size(); ++i) {
    if (open[i]) producers[i].execute("COMMIT");
  }
  while (prepared > 0) one_->execute(fmt::format("COMMIT PREPARED 'p{}'", --prepared));
  cut_all();
  // in_chunks() gives the chunks back (its transaction is rolled back), so all are there.
  EXPECT_EQ(in_chunks(*one_, early), committed(*one_));
  EXPECT_GT(committed(*one_).size(), 100U);
}

}  // namespace
}  // namespace weir::stream
