// Tables that were there before, and become streams while others write to them.

#include <future>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "stream/admin.h"
#include "stream/overview.h"
#include "stream/peek.h"
#include "stream/rebase.h"
#include "stream/stream_sql.h"
#include "stream_adopt_fixture.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Step = AdoptStep;

class StreamAdoptTest : public StreamAdoptFixture {};

class StreamAdoptShapeTest : public StreamAdoptTest, public ::testing::WithParamInterface<Shape> {};

INSTANTIATE_TEST_SUITE_P(Shapes, StreamAdoptShapeTest, ::testing::Values(kPlain, kParted),
                         [](const auto& shape) { return shape.param.name; });

TEST_P(StreamAdoptShapeTest, EachRowIsAnEventOnceWheneverItWasWritten) {
  make(GetParam(), 2500);
  const std::string files =
      "SELECT string_agg(pg_relation_filepath(c.oid), ' ' ORDER BY c.oid) FROM pg_class c "
      "WHERE c.relkind = 'r' AND (c.relname = 'events' OR c.relispartition)";
  const std::string before = text(files);
  // Has its number before the adoption, and writes after it. By the simple protocol: a portal keeps its
  // snapshot, which the build of the index would wait for.
  pg::Session early = session();
  early.execute_script("BEGIN; SELECT pg_current_xact_id()");
  // Has written already: the table cannot be had before it ends.
  pg::Session writer = session();
  writer.execute("BEGIN");
  add(writer, 7);
  pg::Session open = session();
  int retries = 0;
  AdoptOptions options{.lock_timeout = 50ms};
  options.on_retry = [&](const Step& step, int) {
    EXPECT_EQ(step.lock, "ACCESS EXCLUSIVE");
    if (++retries == 2) writer.execute("COMMIT");
  };
  options.on_step = [&](const Step& step) {
    if (step.kind == Step::Kind::build) add(*one_, 10);
    if (step.kind != Step::Kind::make) return;
    add(*one_, 300);
    add(early, 150);
    open.execute("BEGIN");
    add(open, 1);
    add(*one_, 5);
  };
  const AdoptReport report = adopt(options);
  EXPECT_GE(retries, 2);
  EXPECT_EQ(text(files), before);  // nothing was written anew
  EXPECT_EQ(report.events, number("SELECT count(*) FROM events"));
  EXPECT_GT(report.chunks, 25);
  EXPECT_EQ(number("SELECT max(events) FROM weir.stream_chunk"), 100);
  consume();
  expect_each_once();
  early.execute("COMMIT");
  consume();
  expect_each_once();
  open.execute("COMMIT");
  add(*one_, 20);
  consume();
  expect_each_once();
  // A group without --from has what comes from now on.
  group("new", std::nullopt);
  add(*one_, 3);
  work_off(*by_sql({.group = "new", .once = true}, "INSERT INTO effect SELECT id, 'new' FROM weir_chunk"));
  EXPECT_EQ(number("SELECT count(*) FROM effect WHERE grp = 'new'"), 3);
}

TEST_P(StreamAdoptShapeTest, AnInterruptedAdoptionIsRunAgain) {
  make(GetParam(), 500);
  const std::size_t all = steps().size();
  adopt_up_to(1);
  EXPECT_THAT(steps(), SizeIs(all));
  adopt_up_to(2);
  EXPECT_THAT(steps(), SizeIs(all - 1));
  add(*one_, 50);
  EXPECT_THAT(refusal("weir.stream"), HasSubstr("is not a table of yours"));

  // The build of an index is cut off in the middle.
  pg::Session writer = session();
  writer.execute("BEGIN");
  add(writer, 5);
  std::promise<int> begun;
  std::string error;
  {
    const std::jthread thread([&] {
      pg::Session mine = session();
      begun.set_value(mine.backend_pid());
      error = error_of([&] { adopt_stream(mine, {.table = "events"}); }).what();
    });
    const int pid = begun.get_future().get();
    test::wait_until_blocked(connector(), pid);
    one_->execute("SELECT pg_cancel_backend($1::int4)", pid);
  }
  EXPECT_THAT(error, HasSubstr("cancel"));
  writer.execute("COMMIT");
  EXPECT_THAT(steps(), Contains(Field(&Step::name, "drop an unfinished index")));
  EXPECT_EQ(adopt().events, 555);
  EXPECT_EQ(number("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 0);
  consume();
  expect_each_once();
}

TEST_P(StreamAdoptShapeTest, DroppingTheStreamGivesTheTableBack) {
  make(GetParam(), 300);
  const std::string looks =
      "SELECT string_agg(x, ', ' ORDER BY x) FROM (SELECT attrelid::regclass || '.' || attname AS x FROM "
      "pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace IN ('public'::regnamespace, "
      "coalesce(to_regnamespace('parts'), 'public'::regnamespace)) AND attnum > 0 AND NOT attisdropped AND "
      "c.relname <> 'effect' UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = 'events'::regclass "
      "UNION "
      "ALL SELECT conname FROM pg_constraint WHERE contype = 'c') t";
  const std::string before = text(looks);
  adopt();
  consume();
  EXPECT_NE(text(looks), before);
  const StreamDefinition stream = find_stream(*one_, "events");
  EXPECT_TRUE(stream.adopted);
  const Error kept = error_of([&] { drop_stream(*one_, stream, false); });
  EXPECT_EQ(kept.exit_code(), ExitCode::refused);
  EXPECT_THAT(kept.what(), HasSubstr("the table public.events was there before"));
  drop_stream(*one_, stream, true);
  EXPECT_EQ(text(looks), before);
  EXPECT_EQ(number("SELECT count(*) FROM events"), 300);
  one_->execute("UPDATE events SET n = n + 1");
  one_->execute("INSERT INTO events (n) VALUES (1)");
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream"), 0);
  one_->execute("DELETE FROM effect");
  EXPECT_EQ(adopt({}, {.table = "events", .append_only = true}).events, 301);
  consume();
  expect_each_once();
}

TEST_P(StreamAdoptShapeTest, ItIsToldOfAndSetLikeOthers) {
  make(GetParam(), 1000);
  adopt();
  const StreamDefinition stream = find_stream(*one_, "events");
  consume();
  add(*one_, 3);
  const StreamOverview overview = overview_of(*one_, stream);
  EXPECT_FALSE(overview.span);
  EXPECT_EQ(overview.uncut->events, 3);
  EXPECT_THAT(overview.leaving, IsEmpty());
  EXPECT_GT(*list_streams(*one_).at(0).bytes, 8192);
  EXPECT_THAT(peek_newest(*one_, stream, {.most = 2}), SizeIs(2));
  EXPECT_EQ(peek_newest(*one_, stream, {.most = 1}).at(0).id, number("SELECT max(id) FROM events"));
  EXPECT_THAT(keep_partitions(*one_, stream).made, IsEmpty());
  for (const StreamChange& change : {StreamChange{.retain = 24h}, StreamChange{.retain_bytes = 1},
                                     StreamChange{.hold = 1h}, StreamChange{.ahead = 4}}) {
    const Error refused = error_of([&] { change_stream(*one_, stream, change); });
    EXPECT_EQ(refused.exit_code(), ExitCode::refused);
    EXPECT_THAT(refused.what(), HasSubstr("Weir neither makes nor drops partitions of its table"));
  }
  change_stream(*one_, stream, {.chunk_events = 50});
  // Of a time within a chunk, by letters.
  const std::int32_t group = find_group(*one_, stream, "all");
  EXPECT_GT(replay_events(*one_, stream, group, WallTime::min(), WallTime::max()), 999);
  EXPECT_EQ(
      number("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname LIKE "
             "'%weir_xid' AND NOT i.indisvalid"),
      0);
}

TEST_P(StreamAdoptShapeTest, ASliceIsReadByTheIndex) {
  make(GetParam(), 20'000);
  adopt();
  // It would serve a slice as well.
  one_->execute("ALTER TABLE events DROP CONSTRAINT events_pkey");
  one_->execute("ANALYZE events");
  const StreamDefinition stream = find_stream(*one_, "events");
  const StreamSql sql(stream);
  const Xid xid = number("SELECT min(from_xid) FROM weir.stream_chunk WHERE last_event IS NOT NULL");
  const Chunk chunk{.from = xid,
                    .to = xid + 1,
                    .slice = Chunk::Slice{.after = 5000, .last = 5100},
                    .first_at = WallTime::min(),
                    .last_at = WallTime::max()};
  std::string plan;
  for (const pg::Row row : one_->execute("EXPLAIN " + sql.select({chunk}, sql.id())))
    plan += row.get<std::string>(0) + "\n";
  EXPECT_THAT(plan, HasSubstr("Index Cond: ((weir_xid = "));
  EXPECT_THAT(plan, HasSubstr("AND (id > 5000) AND (id <= 5100)"));
  EXPECT_THAT(plan, Not(HasSubstr("Seq Scan")));
}

TEST_F(StreamAdoptTest, ANewPartitionIsPartOfTheStream) {
  make(kParted, 10);
  adopt();
  one_->execute("CREATE TABLE far PARTITION OF events FOR VALUES FROM ('9999-01-01') TO (MAXVALUE)");
  add(*one_, 5, "'9999-06-01'");
  consume();
  expect_each_once();
}

TEST_F(StreamAdoptTest, NobodyUpdatesItOrWritesNumbers) {
  make(kPlain, 3);
  adopt_up_to(2);  // from its first step on
  EXPECT_THAT(error_of([&] { one_->execute("UPDATE events SET n = 5"); }).what(),
              HasSubstr("events is a stream: its events are not updated"));
  EXPECT_THAT(error_of([&] { one_->execute("INSERT INTO events (n, weir_xid) VALUES (1, '3')"); }).what(),
              HasSubstr("weir_xid_is_not_written"));
  adopt();
  EXPECT_THROW(
      one_->execute("INSERT INTO events (id, n) OVERRIDING SYSTEM VALUE VALUES (1, 7) ON CONFLICT (id) "
                    "DO UPDATE SET n = 7"),
      pg::Error);
  one_->execute("DELETE FROM events WHERE n = 2");
  consume();
  expect_each_once();
}

TEST_F(StreamAdoptTest, AnEventThatFailsBecomesALetterAndIsTriedAgain) {
  make(kPlain, 250);
  adopt();
  const std::int64_t bad = number("SELECT id FROM events WHERE n = 120");
  std::atomic<int> failed{0};
  std::mutex mutex;
  std::multiset<std::int64_t> done;
  one_->execute("UPDATE weir.stream SET chunk_events = 100");
  group("leased", WallTime::min());
  one_->execute("UPDATE weir.stream_group SET backoff_ms = 1, backoff_cap_ms = 1");
  work_off(*leased({.group = "leased", .once = true}, [&](const work::Item& item) {
    const auto row = nlohmann::json::parse(item.payload);
    EXPECT_EQ(row.at("id"), item.id);
    EXPECT_EQ(row.size(), 4U) << item.payload;  // without weir_xid
    if (item.id == bad && ++failed < 3) return work::Outcome::failed("not yet");
    const std::lock_guard lock(mutex);
    done.insert(item.id);
    return work::Outcome::done();
  }));
  EXPECT_EQ(failed, 3);
  EXPECT_EQ(done.size(), 250U);
  EXPECT_EQ(std::set(done.begin(), done.end()).size(), 250U);
  // By SQL, in one transaction: all but that one.
  group("sql", WallTime::min());
  one_->execute("UPDATE weir.stream_group SET max_attempts = 2, backoff_ms = 1, backoff_cap_ms = 1");
  work_off(*by_sql({.group = "sql", .once = true},
                   "INSERT INTO effect SELECT id, 'sql' FROM weir_chunk WHERE 1 / (n - 120) < 2"));
  EXPECT_EQ(number("SELECT count(*) FROM effect WHERE grp = 'sql'"), 249);
  const StreamDefinition stream = find_stream(*one_, "events");
  const std::int32_t group = find_group(*one_, stream, "sql");
  ASSERT_THAT(dead_letters(*one_, group, 10), ElementsAre(Field(&DeadLetter::event, bad)));
  replay_dead(*one_, group, {});
  consume("sql");
  expect_each_once("sql");
}

TEST_F(StreamAdoptTest, NamesMayBeAnything) {
  one_->execute_script(
      "CREATE SCHEMA \"Odd \"\"schema\"; CREATE TABLE \"Odd \"\"schema\".\"My 'Events\" (\"E id\" bigint "
      "PRIMARY "
      "KEY, \"At\" timestamptz NOT NULL, e text, at timestamptz, \"Key\" int, \"pay\"\"load\" jsonb);"
      "INSERT INTO \"Odd \"\"schema\".\"My 'Events\" SELECT n, now(), 'e' || n, NULL, n % 3, '{\"n\": 1}' "
      "FROM "
      "generate_series(1, 300) n");
  const std::string name = "\"Odd \"\"schema\".\"My 'Events\"";
  const AdoptReport report = adopt({}, {.table = name, .key = "Key"});
  EXPECT_EQ(report.events, 300);
  EXPECT_EQ(report.stream.columns.id, "E id");
  EXPECT_EQ(report.stream.columns.at, "At");
  const StreamDefinition stream = find_stream(*one_, name);
  std::atomic<int> seen{0};
  Consumer::Work work;
  class Look final : public work::Handler {
   public:
    explicit Look(std::atomic<int>& seen) : seen_(seen) {}
    void run(work::Batch& batch) override {
      for (const work::Item& item : batch.items()) {
        const auto row = nlohmann::json::parse(item.payload);
        EXPECT_EQ(row.at("E id"), item.id);
        EXPECT_EQ(row.at("e"), "e" + std::to_string(item.id));
        EXPECT_EQ(std::to_string(item.id % 3), item.kind);
        ++seen_;
      }
      batch.settle_rest(work::Outcome::done());
    }

   private:
    std::atomic<int>& seen_;
  };
  work.leased = [&] { return std::make_unique<Look>(seen); };
  Consumer consumer(shared_connector(), work,
                    {.stream = name, .group = "g", .from = WallTime::min(), .once = true});
  work_off(consumer);
  EXPECT_EQ(seen, 300);
  drop_stream(*one_, stream, true);
  const AdoptReport again =
      adopt({}, {.table = name, .id = "\"E id\"", .at = "\"At\"", .payload = "pay\"load"});
  EXPECT_EQ(again.stream.columns.payload, "pay\"load");
  EXPECT_EQ(peek_newest(*one_, again.stream, {.most = 1}).at(0).payload, "{\"n\": 1}");
}

TEST_P(StreamAdoptShapeTest, AnotherServerTakesItOver) {
  make(GetParam(), 150);
  adopt();
  consume();
  // As a dump leaves it that was made where the numbers are far ahead.
  one_->execute("UPDATE weir.stream SET server_id = server_id + 1");
  one_->execute("UPDATE weir.stream_cut SET ended = ended + 1000000");
  add(*one_, 20);
  EXPECT_EQ(rebase_stream(*one_, find_stream(*one_, "events"), 5s).shift > 999'000, true);
  add(*one_, 7);
  consume();
  expect_each_once();
}

}  // namespace
}  // namespace weir::stream
