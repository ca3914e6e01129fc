// A group that is given what is there already, or goes away, holds up nobody who cuts: others go on with what
// is new.

#include <algorithm>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "schema/queries/streams.h"
#include "schema/queries/streams_lanes.h"
#include "stream/admin.h"
#include "stream/cut.h"
#include "support/stream_test.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

class StreamPastTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    create_stream(*one_, {.name = "events", .chunk_events = 10});
    one_->set_timeout(20s);
  }
  /// Each of one event.
  void insert_chunks(int chunks) {
    for (int i = 0; i < chunks; ++i) {
      insert(1);
      cut_all();
    }
  }
  /// Who fires this trigger waits until it is opened.
  void shut(const std::string& trigger) {
    one_->execute_script(
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "pg_advisory_xact_lock(77); RETURN coalesce(NEW, OLD); END $$;"
        "CREATE TRIGGER gate " +
        trigger + " EXECUTE FUNCTION gate()");
    gate_.emplace(session());
    gate_->execute("SELECT pg_advisory_lock(77)");
  }
  void open() { gate_.reset(); }
  /// Whatever becomes of the test, those who wait are let go before they are waited for.
  struct Opener {
    explicit Opener(StreamPastTest& test) : test_(test) {}
    ~Opener() { test_.open(); }
    Opener(const Opener&) = delete;
    Opener& operator=(const Opener&) = delete;

   private:
    StreamPastTest& test_;
  };
  void wait_until_waiting(int sessions) {
    test::wait_until(
        [&] {
          return number(
                     "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                     "wait_event_type = 'Lock'") == sessions;
        },
        "who waits for a lock");
  }
  std::int32_t ordered_group(const std::string& name) {
    const auto made = one_->run<sql::MakeOrderedStreamGroup>(find_stream(*one_, "events").id, name,
                                                             std::optional(WallTime{}), 4);
    return made.one().id;
  }
  /// The ids of the events that the group is given.
  std::vector<std::int64_t> consume(const std::string& name) {
    std::vector<std::int64_t> ids;
    work_off(*transactional({.group = name, .workers = 1, .once = true}, [&](const work::Item& item) {
      ids.push_back(item.id);
      return work::Outcome::done();
    }));
    return ids;
  }
  void expect_all_once(std::vector<std::int64_t> ids) {
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end()) << "doubled";
    EXPECT_EQ(static_cast<std::int64_t>(ids.size()), number("SELECT count(*) FROM events"));
  }

  std::optional<pg::Session> gate_;
};

TEST_F(StreamPastTest, WhileAGroupIsSetBackOthersGoOnAndItsChunksStay) {
  const std::int32_t back = group("back");
  insert_chunks(5);
  EXPECT_EQ(consume("back").size(), 5U);
  pg::Session seeking = session();
  seeking.execute("BEGIN");
  seeking.execute("SELECT weir.seek_stream_group($1, '-infinity')", back);

  insert(20);
  cut_all();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 1);
  // Five small chunks that are nobody's, as far as others can see.
  one_->execute("UPDATE weir.stream_chunk SET cut_at = cut_at - interval '1 h'");
  const auto stream = find_stream(*one_, "events");
  std::int64_t up_to = 3;
  merge_chunks(*one_, stream, up_to);
  EXPECT_EQ(up_to, 3) << "it goes on there the next time";
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 6);

  seeking.execute("COMMIT");
  expect_all_once(consume("back"));
  up_to = 0;
  merge_chunks(*one_, stream, up_to);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 2);
}

TEST_F(StreamPastTest, WhileAGroupInOrderIsSetBackOthersGoOnAndItsChunksStay) {
  const std::int32_t back = ordered_group("back");
  insert_chunks(5);
  EXPECT_EQ(consume("back").size(), 5U);
  pg::Session seeking = session();
  seeking.execute("BEGIN");
  seeking.execute("SELECT weir.seek_stream_group($1, '-infinity')", back);

  insert(20);
  cut_all();
  one_->execute("UPDATE weir.stream_chunk SET cut_at = cut_at - interval '1 h'");
  const auto stream = find_stream(*one_, "events");
  std::int64_t up_to = 3;
  merge_chunks(*one_, stream, up_to);
  EXPECT_EQ(up_to, 3) << "it goes on there the next time";
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 6);

  seeking.execute("COMMIT");
  up_to = 0;
  merge_chunks(*one_, stream, up_to);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 6) << "they are before its lanes";
  expect_all_once(consume("back"));
  up_to = 0;
  merge_chunks(*one_, stream, up_to);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_chunk"), 2);
}

TEST_F(StreamPastTest, AGroupInOrderThatBeginsInThePastHasWhatIsCutWhileItIsMade) {
  insert_chunks(5);
  const std::int32_t stream = find_stream(*one_, "events").id;
  shut("BEFORE UPDATE ON weir.stream_lane FOR EACH ROW WHEN (NEW.lane = 0)");
  auto made = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    session.run<sql::MakeOrderedStreamGroup>(stream, std::string("late"), std::optional(WallTime{}), 4);
  });
  const Opener in_the_end(*this);
  wait_until_waiting(1);
  insert(7);
  cut_all();
  insert(8);
  open();
  made.get();
  insert(9);
  expect_all_once(consume("late"));
}

TEST_F(StreamPastTest, AGroupThatBeginsInThePastHasWhatIsCutWhileItIsMade) {
  insert_chunks(5);
  const std::int32_t stream = find_stream(*one_, "events").id;
  shut("BEFORE INSERT ON weir.stream_work FOR EACH ROW WHEN (NEW.chunk = 1)");
  auto made = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    session.run<sql::MakeStreamGroup>(stream, std::string("late"), std::optional(WallTime{}));
  });
  const Opener in_the_end(*this);
  wait_until_waiting(1);
  insert(7);
  cut_all();
  insert(8);
  open();
  made.get();
  insert(9);
  expect_all_once(consume("late"));
}

TEST_F(StreamPastTest, WhileEventsAreReplayedOthersGoOn) {
  const std::int32_t back = group("back");
  insert_chunks(5);
  EXPECT_EQ(consume("back").size(), 5U);
  const auto stream = find_stream(*one_, "events");
  shut("BEFORE INSERT ON weir.stream_work FOR EACH ROW WHEN (NEW.chunk = 1)");
  auto replayed = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    return replay_events(session, stream, back, WallTime::min(), WallTime::max());
  });
  const Opener in_the_end(*this);
  wait_until_waiting(1);
  insert(4);
  cut_all();
  open();
  EXPECT_EQ(replayed.get(), 5);
  expect_all_once(consume("back"));
}

TEST_F(StreamPastTest, WhileAGroupGoesOthersGoOn) {
  const std::int32_t gone = group("gone");
  group("stays");
  insert(5);
  cut_all();
  const auto stream = find_stream(*one_, "events");
  shut("BEFORE DELETE ON weir.stream_work FOR EACH ROW WHEN (OLD.chunk = 1)");
  auto dropped = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    drop_group(session, stream, gone);
  });
  const Opener in_the_end(*this);
  wait_until_waiting(1);
  insert(3);
  cut_all();
  open();
  dropped.get();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 2);
  expect_all_once(consume("stays"));
}

// Its lanes went with its row: who cut waited for whoever had one.
TEST_F(StreamPastTest, WhileAGroupInOrderGoesOthersGoOn) {
  const std::int32_t gone = ordered_group("gone");
  group("stays");
  insert(5);
  cut_all();
  const auto stream = find_stream(*one_, "events");
  shut("BEFORE DELETE ON weir.stream_lane FOR EACH ROW WHEN (OLD.lane = 0)");
  auto dropped = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    drop_group(session, stream, gone);
  });
  const Opener in_the_end(*this);
  wait_until_waiting(1);
  insert(3);
  cut_all();
  open();
  dropped.get();
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_lane"), 0);
  expect_all_once(consume("stays"));
}

// A cut waited for the group's row then, found it gone, and failed.
TEST_F(StreamPastTest, ACutBesideTheEndOfAGroupDoesNotFail) {
  const std::int32_t gone = group("gone");
  group("stays");
  insert(5);
  cut_all();
  const auto stream = find_stream(*one_, "events");
  shut("AFTER DELETE ON weir.stream_group FOR EACH ROW");
  auto dropped = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    drop_group(session, stream, gone);
  });
  const Opener if_it_comes_no_further(*this);
  wait_until_waiting(1);
  insert(3);
  auto was_cut = std::async(std::launch::async, [&] {
    pg::Session session = this->session();
    return cut(session, stream, StreamSql(stream)).events;
  });
  const Opener in_the_end(*this);
  wait_until_waiting(2);
  open();
  dropped.get();
  EXPECT_EQ(was_cut.get(), 3);
  expect_all_once(consume("stays"));
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_work"), 0);
}

}  // namespace
}  // namespace weir::stream
