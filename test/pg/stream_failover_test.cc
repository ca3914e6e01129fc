// A stream whose server dies, and whose standby takes its place: with all that was committed, or without the
// last of it. Of the tail that is lost, transactions' numbers are given out again.

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/mutex.h"
#include "schema/migrator.h"
#include "schema/queries/streams.h"
#include "stream/consumer.h"
#include "stream/cut.h"
#include "stream/sql_doer.h"
#include "stream/stream.h"
#include "support/server.h"
#include "support/standby.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

/// All transactions below it have been given their numbers.
constexpr const char* kNext = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8";

class StreamFailoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    one_.emplace(connect(server_.conninfo()));
    schema::migrate(*one_);
    create_stream(*one_, {.name = "events", .chunk_events = 10});
    one_->execute("CREATE TABLE effect (event bigint NOT NULL)");
    const auto stream = find_stream(*one_, "events");
    for (const std::string name : {"inside", "outside"}) {
      const auto made = one_->run<sql::MakeStreamGroup>(stream.id, name, std::optional(WallTime{}));
      groups_.push_back(made.one().id);
    }
    standby_.emplace(server_);
  }

  static pg::Session connect(const pg::Conninfo& where) {
    return pg::Connector(where, {.users_search_path = true}).connect(pg::Role::api, "test");
  }
  std::int64_t number(const std::string& sql) {
    return one_->execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
  }
  void insert(pg::Session& session, int events) {
    session.execute("INSERT INTO events (payload) SELECT '{}' FROM generate_series(1, $1::int4)", events);
  }
  void cut_all() {
    const auto stream = find_stream(*one_, "events");
    const StreamSql sql(stream);
    while (cut(*one_, stream, sql).more) {
    }
  }
  /// The server dies as it stands, and whoever is connected goes to the other one.
  void fail_over() {
    server_.kill();
    one_.reset();
    standby_->promote();
    one_.emplace(connect(standby_->conninfo()));
  }

  /// Its effects are in the same database.
  static std::unique_ptr<Consumer> inside(const pg::Conninfo& where, bool once) {
    Consumer::Work work;
    work.transactional = [](const GroupSource& source) {
      return std::make_unique<SqlDoer>(
          source.sql(), SqlDoer::Options{.sql = "INSERT INTO effect SELECT event_id FROM weir_chunk",
                                         .search_path = "public"});
    };
    return std::make_unique<Consumer>(
        std::make_shared<const pg::Connector>(where), work,
        ConsumerOptions{.stream = "events", .group = "inside", .workers = 2, .lease = 2s, .once = once});
  }
  /// Its effects are in this process, and outlive every server.
  std::unique_ptr<Consumer> outside(const pg::Conninfo& where) {
    class Collect final : public work::Handler {
     public:
      explicit Collect(StreamFailoverTest& test) : test_(test) {}
      void run(work::Batch& batch) override {
        const MutexLock lock(test_.mutex_);
        for (const work::Item& item : batch.items()) test_.seen_.insert(item.id);
        batch.settle_rest(work::Outcome::done());
      }

     private:
      StreamFailoverTest& test_;
    };
    Consumer::Work work;
    work.leased = [this] { return std::make_unique<Collect>(*this); };
    return std::make_unique<Consumer>(
        std::make_shared<const pg::Connector>(where), work,
        ConsumerOptions{.stream = "events", .group = "outside", .workers = 2, .lease = 2s, .once = true});
  }
  static void work_off(Consumer& consumer) {
    consumer.start();
    EXPECT_TRUE(consumer.wait_until_finished({}, Deadline::after(60s)));
    consumer.stop();
  }
  /// Every event of this server has one effect, and every effect its event.
  void expect_exactly_once() {
    EXPECT_EQ(number("SELECT count(*) FROM events WHERE event_id NOT IN (SELECT event FROM effect)"), 0)
        << "skipped";
    EXPECT_EQ(number("SELECT count(*) - count(DISTINCT event) FROM effect"), 0) << "doubled";
    EXPECT_EQ(number("SELECT count(*) FROM effect WHERE event NOT IN (SELECT event_id FROM events)"), 0)
        << "an effect without its event";
    EXPECT_EQ(number("SELECT count(*) - count(DISTINCT event_id) FROM events"), 0);
  }
  std::set<std::int64_t> seen() {
    const MutexLock lock(mutex_);
    return seen_;
  }
  void see_again(std::set<std::int64_t> from) {
    const MutexLock lock(mutex_);
    seen_ = std::move(from);
  }
  void expect_all_were_seen() {
    const std::set<std::int64_t> all = seen();
    for (const pg::Row row : one_->execute("SELECT event_id FROM events"))
      EXPECT_TRUE(all.contains(row.get<std::int64_t>(0))) << "skipped";
  }

  test::TestServer server_;
  std::optional<test::Standby> standby_;
  std::optional<pg::Session> one_;
  std::vector<std::int32_t> groups_;
  Mutex mutex_;
  std::set<std::int64_t> seen_ WEIR_GUARDED_BY(mutex_);
};

TEST_F(StreamFailoverTest, OfWhatTheStandbyHadNothingIsLostOrDoubled) {
  insert(*one_, 35);
  work_off(*inside(server_.conninfo(), true));
  ASSERT_EQ(number("SELECT count(*) FROM effect"), 35);

  pg::Session slow = connect(server_.conninfo());
  slow.execute("BEGIN");
  insert(slow, 3);
  pg::Session prepared = connect(server_.conninfo());
  prepared.execute("BEGIN");
  insert(prepared, 4);
  prepared.execute("PREPARE TRANSACTION 'p'");
  insert(*one_, 25);
  cut_all();
  ASSERT_GE(number("SELECT cardinality(open) FROM weir.stream_cut ORDER BY number DESC LIMIT 1"), 2);
  // One has some of it under a lease, and is never heard of again.
  one_->execute(
      "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES (4711, 'dead', now() "
      "+ "
      "interval '1 s')");
  ASSERT_EQ(one_->run<sql::ClaimStreamWork>(std::int64_t{4711}, std::int64_t{1}, groups_.at(1),
                                            std::int64_t{-1}, 2, std::vector<std::int64_t>())
                .size(),
            2);
  // Another one is in the middle of a transaction.
  pg::Session taking = connect(server_.conninfo());
  taking.execute("BEGIN");
  ASSERT_EQ(taking.run<sql::TakeStreamWork>(groups_.at(0), std::int64_t{-1}, 1).size(), 1);
  taking.execute("INSERT INTO effect SELECT event_id FROM events");
  insert(*one_, 12);
  standby_->catch_up();
  fail_over();

  one_->execute("COMMIT PREPARED 'p'");
  insert(*one_, 20);
  work_off(*inside(standby_->conninfo(), true));
  work_off(*outside(standby_->conninfo()));
  EXPECT_EQ(number("SELECT count(*) FROM events"), 35 + 4 + 25 + 12 + 20);
  expect_exactly_once();
  expect_all_were_seen();
}

TEST_F(StreamFailoverTest, AConsumerGoesOnByItself) {
  const auto consumer = inside(standby_->either(), false);
  consumer->start();
  insert(*one_, 50);
  test::wait_until([&] { return number("SELECT count(*) FROM effect") == 50; }, "the effects");
  standby_->catch_up();
  // Of these anything may have reached the standby.
  for (int i = 0; i < 20; ++i) insert(*one_, 3);
  fail_over();
  const std::int64_t arrived = number("SELECT count(*) FROM events");
  EXPECT_GE(arrived, 50);
  for (int i = 0; i < 20; ++i) insert(*one_, 3);
  test::wait_until([&] { return number("SELECT count(DISTINCT event) FROM effect") >= arrived + 60; },
                   "the effects of all that is there", 60s);
  consumer->stop();
  expect_exactly_once();
}

/// How much of the tail has reached the standby.
enum class Reached { nothing, events, their_cut };

class StreamLostTailTest : public StreamFailoverTest, public ::testing::WithParamInterface<Reached> {
 protected:
  void lose_from_here_on() {
    standby_->catch_up();
    standby_->cut_off();
  }
};

TEST_P(StreamLostTailTest, ItIsLostOnBothSidesAndNothingElseIs) {
  insert(*one_, 35);
  work_off(*inside(server_.conninfo(), true));
  work_off(*outside(server_.conninfo()));
  const std::set<std::int64_t> seen_before = seen();
  ASSERT_EQ(seen_before.size(), 35U);

  if (GetParam() == Reached::nothing) lose_from_here_on();
  pg::Session silent = connect(server_.conninfo());
  silent.execute("BEGIN");
  silent.execute("SELECT pg_current_xact_id()");  // a number that nothing was written of
  pg::Session slow = connect(server_.conninfo());
  slow.execute("BEGIN");
  insert(slow, 3);
  for (int i = 0; i < 5; ++i) insert(*one_, 7);
  // The last one to end before the cut has written nothing, and was rolled back.
  one_->execute_script("BEGIN; SELECT pg_current_xact_id(); ROLLBACK");
  if (GetParam() == Reached::events) lose_from_here_on();
  cut_all();
  ASSERT_GE(number("SELECT cardinality(open) FROM weir.stream_cut ORDER BY number DESC LIMIT 1"), 2);
  if (GetParam() == Reached::their_cut) lose_from_here_on();

  insert(silent, 2);
  silent.execute("COMMIT");
  slow.execute("COMMIT");
  insert(*one_, 9);
  work_off(*inside(server_.conninfo(), true));
  work_off(*outside(server_.conninfo()));
  for (int i = 0; i < 200; ++i) one_->execute("SELECT pg_current_xact_id()");
  expect_exactly_once();
  const std::int64_t next_there = number(kNext);
  fail_over();

  EXPECT_LT(number(kNext), next_there - 100) << "numbers are given out again";
  EXPECT_GE(number(kNext), number("SELECT max(ended) FROM weir.stream_cut"))
      << "but none that a cut has decided";
  const std::int64_t arrived = 35 + (GetParam() == Reached::nothing ? 0 : 35);
  EXPECT_EQ(number("SELECT count(*) FROM events"), arrived);
  // What is written here may have ids of what was lost, and that was seen.
  see_again(seen_before);
  for (int i = 0; i < 100; ++i) insert(*one_, 1);
  work_off(*inside(standby_->conninfo(), true));
  work_off(*outside(standby_->conninfo()));
  EXPECT_EQ(number("SELECT count(*) FROM events"), arrived + 100);
  expect_exactly_once();
  expect_all_were_seen();
}

INSTANTIATE_TEST_SUITE_P(Reached, StreamLostTailTest,
                         ::testing::Values(Reached::nothing, Reached::events, Reached::their_cut));

}  // namespace
}  // namespace weir::stream
