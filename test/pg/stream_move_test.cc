// A stream that a dump brought to another server.

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "exec/child.h"
#include "stream/cut.h"
#include "stream/rebase.h"
#include "support/errors.h"
#include "support/stream_test.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using test::has;

void run(const std::vector<std::string>& argv) {
  exec::Command command;
  command.argv = argv;
  const exec::Outcome outcome = exec::run_command(command, Deadline::after(60s), {});
  ASSERT_TRUE(outcome.ok()) << outcome.err;
}

class StreamMoveTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    // The other server is far behind.
    for (int i = 0; i < 2000; ++i) one_->execute("SELECT pg_current_xact_id()");
    create_stream(*one_, {.name = "events", .chunk_events = 10});
    group("done", std::nullopt);
    group("late", std::nullopt);
  }
  void TearDown() override {
    there_.reset();
    StreamTest::TearDown();
  }

  void move() {
    const test::ScratchFolder folder("move");
    const std::string dump = (folder.path() / "dump.sql").string();
    run({"pg_dump", "-x", "-f", dump, url()});
    run({"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, other_.conninfo().url()});
    there_.emplace(
        pg::Connector(other_.conninfo(), {.users_search_path = true}).connect(pg::Role::api, "test"));
  }
  std::int64_t there(const std::string& sql) {
    return there_->execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
  }
  /// The ids that a group is given, each as often as it is.
  std::vector<std::int64_t> consume(const std::string& name) {
    Mutex mutex;
    std::vector<std::int64_t> ids;
    ConsumerOptions options{.stream = "events", .group = name, .once = true};
    class Collect final : public work::Handler {
     public:
      Collect(Mutex& mutex, std::vector<std::int64_t>& ids) : mutex_(mutex), ids_(ids) {}
      void run(work::Batch& batch) override {
        const MutexLock lock(mutex_);
        for (const work::Item& item : batch.items()) ids_.push_back(item.id);
        batch.settle_rest(work::Outcome::done());
      }

     private:
      Mutex& mutex_;
      std::vector<std::int64_t>& ids_;
    };
    Consumer::Work work;
    work.leased = [&] { return std::make_unique<Collect>(mutex, ids); };
    Consumer consumer(std::make_shared<const pg::Connector>(other_.conninfo()), work, options);
    work_off(consumer);
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  test::TestServer other_;
  std::optional<pg::Session> there_;
};

TEST_F(StreamMoveTest, NothingIsLostOrRepeatedWhenItIsTakenOver) {
  insert(25);
  cut_all();
  one_->execute(
      "DELETE FROM weir.stream_work w USING weir.stream_group g WHERE g.id = w.group_id AND g.name = 'done'");
  // Not cut when the dump was made; of a transaction that began before others that were cut.
  pg::Session slow = session();
  slow.execute("BEGIN");
  slow.execute("INSERT INTO events (payload) VALUES ('{}')");
  insert(10);
  cut_all();
  one_->execute(
      "DELETE FROM weir.stream_work w USING weir.stream_group g WHERE g.id = w.group_id AND g.name = 'done'");
  slow.execute("COMMIT");
  insert(4);
  move();

  // Before it is taken over nothing is cut, and nothing that would be lost is let in.
  const auto stream = find_stream(*there_, "events");
  const Error refused = error_of([&] { cut(*there_, stream, StreamSql(stream)); });
  EXPECT_EQ(refused.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(refused.remedy(), "weir stream rebase events"));
  try {
    there_->execute("INSERT INTO events (payload) VALUES ('{}')");
    ADD_FAILURE() << "it was let in";
  } catch (const pg::Error& error) {
    EXPECT_TRUE(has(error.what(), "run_weir_stream_rebase")) << error.what();
  }

  // Behind the number that the partition was made with, nothing tells: it is written again when it is taken
  // over.
  const std::int64_t there_now = there("SELECT pg_current_xact_id()::text");
  for (const pg::Row row : there_->execute(
           "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass"))
    there_->execute("ALTER TABLE " + row.get<std::string>(0) +
                    " DROP CONSTRAINT weir_xid_is_of_another_server_run_weir_stream_rebase");
  ASSERT_LT(there_now, there("SELECT max(ended) FROM weir.stream_cut"));
  there_->execute("INSERT INTO events (payload) VALUES ('{\"too\": \"early\"}'), ('{}')");
  there_->execute_script(
      "BEGIN; SAVEPOINT a; INSERT INTO events (payload) VALUES ('{}'); RELEASE a; SAVEPOINT b; INSERT INTO "
      "events (payload) "
      "VALUES ('{}'); COMMIT");

  const RebaseReport report = rebase_stream(*there_, stream, 10s);
  EXPECT_EQ(report.events, 5);
  EXPECT_EQ(report.renumbered, 4);
  EXPECT_GT(report.shift, 0);
  there_->execute("INSERT INTO events (payload) SELECT '{}' FROM generate_series(1, 3)");
  EXPECT_EQ(there("SELECT count(*) FROM events"), 47);

  EXPECT_EQ(consume("done").size(), 12U);
  const auto all = consume("late");
  EXPECT_EQ(all.size(), 47U);
  EXPECT_EQ(std::set<std::int64_t>(all.begin(), all.end()).size(), 47U);
  EXPECT_EQ(error_of([&] { rebase_stream(*there_, find_stream(*there_, "events"), 10s); }).exit_code(),
            ExitCode::refused);
}

// Found in an audit: the numbers were compared as they are, and what was written here around the moment when
// they begin anew was not known as that. It kept its number of the other server, behind what was cut there:
// nobody had it.
TEST_F(StreamMoveTest, WhatWasWrittenSinceIsKnownAlsoWhereNumbersBeginAnew) {
  constexpr std::int64_t kEnd = std::int64_t{1} << 32U;
  const auto since = [&](std::int64_t restored_by, std::int64_t header, std::int64_t own) {
    return one_
        ->execute("SELECT " + written_since("$1::bigint", "$2::bigint", "$3::bigint"), restored_by, header,
                  own)[0]
        .get<bool>(0);
  };
  for (const std::int64_t restored_by : {std::int64_t{1000}, kEnd / 2 - 2, kEnd - 5, kEnd - 1}) {
    SCOPED_TRACE(restored_by);
    const auto at = [&](std::int64_t after) { return (restored_by + after + kEnd) % kEnd; };
    EXPECT_TRUE(since(restored_by, at(10), at(10)));
    EXPECT_TRUE(since(restored_by, at(10), at(9))) << "after a savepoint";
    EXPECT_TRUE(since(restored_by, at(10), 3 * kEnd + at(10))) << "of a later round";
    EXPECT_TRUE(since(restored_by, at(10), at(10) - 7 * kEnd)) << "less the shift";
    EXPECT_FALSE(since(restored_by, at(10), at(11))) << "nobody writes what comes later";
    EXPECT_FALSE(since(restored_by, at(10), at(0)));
    EXPECT_FALSE(since(restored_by, at(10), at(-100)));
    // Restored: the number that was named there may be any.
    for (const std::int64_t any :
         {at(0), at(1), at(-1), at(kEnd / 2), at(kEnd / 2 - 1), std::int64_t{3}, kEnd - 1}) {
      EXPECT_FALSE(since(restored_by, at(0), any)) << any;
      EXPECT_FALSE(since(restored_by, at(-20), any)) << any;
    }
  }
}

TEST_F(StreamMoveTest, FilesThatWereCopiedAsTheyAreKeepTheirNumbers) {
  insert(25);
  cut_all();
  insert(5);
  // As after pg_upgrade: another server by name, with the same rows and numbers.
  one_->execute("UPDATE weir.stream SET server_id = server_id + 1");
  const RebaseReport report = rebase_stream(*one_, find_stream(*one_, "events"), 10s);
  EXPECT_EQ(report.events, 5);
  EXPECT_EQ(report.renumbered, 0);
  insert(2);
  std::atomic<int> calls{0};
  work_off(*leased({.group = "late", .once = true}, [&](const work::Item&) {
    ++calls;
    return work::Outcome::done();
  }));
  EXPECT_EQ(calls, 32);
}

}  // namespace
}  // namespace weir::stream
