// Consuming a table as it stands: exactly once, whatever is killed and whatever fails.
#include <atomic>
#include <future>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "base/test_signal.h"
#include "queue/adopt_batch.h"
#include "support/adopt.h"
#include "support/errors.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"
#include "work/sql_handler.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using queue::AdoptConsumerOptions;
using queue::AdoptFigures;
using ::testing::HasSubstr;
using work::Outcome;

constexpr BackoffPolicy kSoon{.base = 1ms, .cap = 5ms};

class AdoptConsume : public AdoptTest {};

class AdoptKilled : public AdoptTest, public ::testing::WithParamInterface<int> {
 protected:
  [[nodiscard]] static Shape shape() { return static_cast<Shape>(GetParam()); }
};

/// Sessions die before, during and after the handler, in COMMIT as well: who kills races with them.
TEST_P(AdoptKilled, EightSessionsAreKilledAndEachEventHasOneEffect) {
  constexpr int kRows = 4000;
  make_events(shape(), kRows);
  TestSignal<int> at_work;
  at_work.enable();
  // One is killed at its work for certain: it waits for that.
  std::atomic<int> first = 0;
  std::atomic<bool> first_killed = false;
  auto consumer =
      this->consumer({.workers = 8, .once = true, .batch = {.rows = 50}}, [&](work::Batch& batch) {
        const int pid = batch.session()->backend_pid();
        int none = 0;
        const bool is_first = first.compare_exchange_strong(none, pid);
        at_work.emit(pid);
        if (is_first) test::wait_until([&] { return first_killed.load(); }, "the end of its session");
        insert_effects(batch);
      });
  AdoptFigures figures;
  std::atomic<bool> ended = false;
  std::jthread running([&] {
    figures = consumer.run({});
    ended = true;
  });
  std::mt19937 chance(20261121);
  int killed = 0;
  pg::Session killer = session();
  while (!ended) {
    const auto pid = at_work.wait(Deadline::after(10ms));
    const bool is_first = pid == first.load() && !first_killed;
    if (!pid || (!is_first && (killed == 40 || chance() % 2 == 0))) continue;
    killer.execute("SELECT pg_terminate_backend($1, $2::int8)", *pid, std::int64_t{is_first ? 20'000 : 0});
    if (is_first) first_killed = true;
    ++killed;
  }
  running.join();
  EXPECT_EQ(tally(), "4000/4000 4000/4000");
  EXPECT_GT(figures.undone, 0U);
  EXPECT_TRUE(consumer.finished());
}

INSTANTIATE_TEST_SUITE_P(Shapes, AdoptKilled, ::testing::Values(0, 1, 2));

TEST_F(AdoptConsume, TheRowsComeInOrderWithWhatWasAskedFor) {
  make_events(Shape::partitioned, 90);
  auto wanted = request();
  wanted.columns = {"id", "event_timestamp"};
  wanted.set = {"processed_at=now()", "payload = payload || '!'"};
  wanted.where = "id > 10 -- not the first ten";
  std::vector<std::string> payloads;
  queue::AdoptConsumer consumer(consumers_connector(), adopted(wanted), handlers([&](work::Batch& batch) {
                                  EXPECT_LE(batch.items().size(), 7U);
                                  for (const auto& item : batch.items()) payloads.emplace_back(item.payload);
                                  insert_effects(batch);
                                }),
                                {.once = true, .batch = {.rows = 7}});
  EXPECT_EQ(consumer.run({}).done, 80U);
  ASSERT_EQ(payloads.size(), 80U);
  EXPECT_THAT(payloads[0], HasSubstr("{\"id\": 30, \"event_timestamp\": \"2026-01-01T00:00:30+00:00\"}"));
  EXPECT_EQ(tally(), "80/90 80/80");
  EXPECT_EQ(number("SELECT count(*) FROM events WHERE processed_at IS NOT NULL AND payload LIKE '%!'"), 80);
  pg::Session session = this->session();
  const auto order = session.execute(
      "SELECT count(*) FROM (SELECT id, row_number() OVER (ORDER BY event_timestamp) AS place FROM events "
      "WHERE "
      "id > 10) e JOIN (SELECT event, row_number() OVER (ORDER BY ctid) AS place FROM effect) f ON f.event = "
      "e.id AND f.place = e.place");
  EXPECT_EQ(order[0].get<std::int64_t>(0), 80);
}

/// Names, types and settings as they come: nothing of them may reach the statements unquoted or be read
/// otherwise.
TEST_F(AdoptConsume, OddTablesAreConsumedAsTheyStand) {
  pg::Session session = this->session();
  session.execute_script(
      "CREATE SCHEMA \"a b\"; CREATE TYPE \"a b\".\"St ate\" AS ENUM ('new', 'it''s done');"
      "CREATE TABLE \"a b\".\"we\"\"ird\" (\"k'1\" text, weir_row timestamptz, \"or der\" date, k1 \"a "
      "b\".\"St ate\" "
      "NOT NULL DEFAULT 'new', t text, PRIMARY KEY (\"k'1\", weir_row));"
      "INSERT INTO \"a b\".\"we\"\"ird\" SELECT E'a\\\\b\"\\'{' || n || '},NULL', '2026-03-04 "
      "05:06Z'::timestamptz + n * "
      "interval '1.000001 day', CASE WHEN n > 5 THEN '2026-01-02'::date + n % 7 END FROM generate_series(1, "
      "40) n;"
      "INSERT INTO \"a b\".\"we\"\"ird\" VALUES ('', 'infinity', 'infinity'), ('é', '0044-03-15 00:00 BC', "
      "'0001-01-01 BC');"
      "ALTER DATABASE " +
      database() + " SET datestyle = 'SQL, DMY'; ALTER DATABASE " + database() +
      " SET timezone = 'Asia/Kolkata'; ALTER DATABASE " + database() +
      " SET standard_conforming_strings = off");
  const queue::AdoptRequest odd{.table = "\"a b\".\"we\"\"ird\"",
                                .order_by = {"\"or der\" desc", "weir_row"},
                                .done = "K1",
                                .done_value = "it's done",
                                .set = {"t = k1::text"},
                                .failed = ""};
  std::atomic<int> handled = 0;
  queue::AdoptConsumer consumer(consumers_connector(), adopted(odd), handlers([&](work::Batch& batch) {
                                  if (batch.items().size() > 1) throw std::runtime_error("one by one");
                                  ++handled;
                                  if (batch.items()[0].attempt == 1) throw std::runtime_error("once more");
                                  batch.settle_rest(Outcome::done());
                                }),
                                {.once = true, .batch = {.rows = 5}, .retries = {.backoff = kSoon}});
  EXPECT_EQ(consumer.run({}).done, 42U);
  EXPECT_EQ(handled, 84);
  EXPECT_EQ(number("SELECT count(*) FROM \"a b\".\"we\"\"ird\" WHERE k1 = 'it''s done' AND t = 'new'"), 42);
}

TEST_F(AdoptConsume, AFailedBatchIsRepeatedRowByRowUntilItIsDone) {
  make_events(Shape::plain, 100);
  std::atomic<int> runs = 0;
  auto consumer = this->consumer({.once = true, .batch = {.rows = 64}, .retries = {.backoff = kSoon}},
                                 [&](work::Batch& batch) {
                                   insert_effects(batch);
                                   if (runs++ < 3) throw std::runtime_error("not yet");
                                 });
  const AdoptFigures figures = consumer.run({});
  EXPECT_EQ(tally(), "100/100 100/100");
  EXPECT_EQ(figures.given_up, 0U);
}

TEST_F(AdoptConsume, APoisonRowUndoesNoneOfItsNeighbours) {
  make_events(Shape::plain, 100);
  std::vector<std::string> errors;
  auto consumer = this->consumer({.once = true, .retries = {.max_attempts = 3, .backoff = kSoon}},
                                 [&](work::Batch& batch) {
                                   if (batch.items().size() == 1) errors.emplace_back(batch.items()[0].error);
                                   insert_effects(batch);
                                   for (const auto& item : batch.items())
                                     batch.session()->execute("SELECT 1 / ($1 - 77)", item.id);
                                 });
  const AdoptFigures figures = consumer.run({});
  EXPECT_EQ(tally(), "99/100 99/99");
  EXPECT_EQ(number("SELECT id FROM events WHERE NOT processed"), 77);
  EXPECT_EQ(figures.given_up, 1U);
  EXPECT_EQ(figures.failed, 2U);
  EXPECT_THAT(errors.back(), HasSubstr("division by zero"));
}

TEST_F(AdoptConsume, WhereAColumnTakesErrorsTheRowIsSkippedFromThenOn) {
  make_events(Shape::partitioned, 50);
  auto wanted = request();
  wanted.failed = "error";
  const auto poison = [&](work::Batch& batch) {
    for (std::size_t i = 0; i < batch.items().size(); ++i) {
      if (id_of(batch.items()[i]) % 10 == 0) batch.settle(i, Outcome::discarded("bad\nrow"));
    }
    batch.settle_rest(Outcome::done());
  };
  queue::AdoptConsumer consumer(consumers_connector(), adopted(wanted), handlers(poison), {.once = true});
  EXPECT_EQ(consumer.run({}).given_up, 5U);
  EXPECT_EQ(number("SELECT count(*) FROM events WHERE NOT processed AND error = 'bad\\x0arow'"), 5);
  queue::AdoptConsumer again(consumers_connector(), adopted(wanted), handlers(poison), {.once = true});
  const AdoptFigures figures = again.run({});
  EXPECT_EQ(figures.done + figures.given_up, 0U);
}

TEST_F(AdoptConsume, ADeferredConstraintFailsItsRowAlone) {
  make_events(Shape::plain, 40);
  session().execute("ALTER TABLE effect ADD CONSTRAINT once UNIQUE (event) DEFERRABLE INITIALLY DEFERRED");
  auto consumer = this->consumer({.once = true, .retries = {.max_attempts = 1}}, [](work::Batch& batch) {
    insert_effects(batch);
    for (const auto& item : batch.items()) {
      if (item.id == 13) batch.session()->execute("INSERT INTO effect VALUES (13)");
    }
  });
  EXPECT_EQ(consumer.run({}).given_up, 1U);
  EXPECT_EQ(tally(), "39/40 39/39");
}

TEST_F(AdoptConsume, ACommandsAcknowledgedRowsStayDoneWhenItFails) {
  make_events(Shape::plain, 20);
  std::atomic<int> runs = 0;
  auto consumer = this->consumer(
      {.once = true, .batch = {.rows = 20, .transactional = false}, .retries = {.backoff = kSoon}},
      [&](work::Batch& batch) {
        EXPECT_EQ(batch.session(), nullptr);
        if (runs++ == 0) {
          for (std::size_t i = 0; i < 5; ++i) batch.settle(i, Outcome::done());
          throw std::runtime_error("it crashed");
        }
        EXPECT_LE(batch.items().size(), 15U);
        for (const auto& item : batch.items()) EXPECT_EQ(item.error, "it crashed");
        batch.settle_rest(Outcome::done());
      });
  const AdoptFigures figures = consumer.run({});
  EXPECT_EQ(figures.done, 20U);
  EXPECT_EQ(figures.failed, 15U);
}

TEST_F(AdoptConsume, AHandlerThatCommitsIsStopped) {
  make_events(Shape::plain, 5);
  auto consumer = this->consumer({.once = true}, [](work::Batch& batch) {
    batch.session()->execute("COMMIT");
    batch.settle_rest(Outcome::done());
  });
  EXPECT_THROW(consumer.run({}), Error);
  EXPECT_EQ(number("SELECT count(*) FROM events WHERE processed"), 0);
}

TEST_F(AdoptConsume, WithoutAKeyAHandlerThatMovesItsRowsIsToldSo) {
  make_events(Shape::no_key, 3);
  auto consumer = this->consumer({.once = true, .retries = {.max_attempts = 1}}, [](work::Batch& batch) {
    batch.session()->execute("UPDATE events SET payload = 'moved'");
    batch.settle_rest(Outcome::done());
  });
  EXPECT_EQ(consumer.run({}).given_up, 3U);
  EXPECT_EQ(number("SELECT count(*) FROM events WHERE processed OR payload = 'moved'"), 0);
}

TEST_F(AdoptConsume, OnceWaitsForRowsThatOthersHaveLocked) {
  make_events(Shape::plain, 30);
  pg::Session other = session();
  other.execute_script("BEGIN; SELECT 1 FROM events WHERE id = 3 FOR UPDATE");
  std::atomic<int> looks = 0;
  auto consumer = this->consumer(
      {.workers = 2, .once = true, .on_progress = [&](const AdoptFigures&) { ++looks; }}, insert_effects);
  std::jthread running([&] { consumer.run({}); });
  wait_until([&] { return number("SELECT count(*) FROM events WHERE processed") == 29; }, "the other rows");
  const int before = looks;
  wait_until([&] { return looks > before + 1; }, "the consumer to go on looking");
  EXPECT_FALSE(consumer.finished());
  other.execute("ROLLBACK");
  running.join();
  EXPECT_TRUE(consumer.finished());
  EXPECT_EQ(tally(), "30/30 30/30");
}

TEST_F(AdoptConsume, RowsBelowTheMarkAreFound) {
  make_events(Shape::plain, 20);
  std::atomic<int> runs = 0;
  auto consumer = this->consumer({.once = true, .batch = {.rows = 5}}, [&](work::Batch& batch) {
    if (runs++ == 2) session().execute("INSERT INTO events (event_timestamp) VALUES ('2020-01-01Z')");
    insert_effects(batch);
  });
  consumer.run({});
  EXPECT_EQ(tally(), "21/21 21/21");
}

TEST_F(AdoptConsume, AStopLetsTheBatchFinish) {
  make_events(Shape::plain, 20);
  TestSignal<int> begun;
  begun.enable();
  std::stop_source stop;
  auto consumer = this->consumer({.batch = {.rows = 5}}, [&](work::Batch& batch) {
    begun.emit(1);
    wait_until([&] { return stop.stop_requested(); }, "the stop");
    EXPECT_FALSE(batch.stop().stop_requested());
    insert_effects(batch);
  });
  std::jthread running([&] { consumer.run(stop.get_token()); });
  ASSERT_TRUE(begun.wait(Deadline::after(20s)));
  stop.request_stop();
  running.join();
  EXPECT_EQ(tally(), "5/20 5/5");
}

TEST_F(AdoptConsume, ABatchThatDoesNotEndInTimeIsUndone) {
  make_events(Shape::plain, 20);
  TestSignal<int> begun;
  begun.enable();
  std::stop_source stop;
  auto consumer = this->consumer({.drain = 0s, .batch = {.rows = 5}}, [&](work::Batch& batch) {
    insert_effects(batch);
    begun.emit(1);
    batch.session()->execute("SELECT pg_sleep(1000)");
  });
  std::jthread running([&] { consumer.run(stop.get_token()); });
  ASSERT_TRUE(begun.wait(Deadline::after(20s)));
  wait_until([&] { return number("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") > 0; },
             "the long statement");
  stop.request_stop();
  running.join();
  EXPECT_EQ(tally(), "0/20 0/0");
}

TEST_F(AdoptConsume, SqlOfTheUserWorksOnWeirBatch) {
  make_events(Shape::partitioned, 300);
  const std::string sql =
      "INSERT INTO effect SELECT (payload->>'id')::bigint FROM weir_batch; "
      "SELECT 1 / (77 - (payload->>'id')::bigint) FROM weir_batch";
  queue::AdoptConsumer consumer(
      consumers_connector(), adopted(),
      [&] {
        return std::make_unique<work::SqlHandler>(work::SqlOptions{.sql = sql, .relation = "weir_batch"});
      },
      {.workers = 2, .once = true, .batch = {.rows = 50}, .retries = {.max_attempts = 2, .backoff = kSoon}});
  EXPECT_EQ(consumer.run({}).given_up, 1U);
  EXPECT_EQ(tally(), "299/300 299/299");
}

/// Which rows are held back a claim says before it looks, and what it finds may have failed since.
TEST_F(AdoptConsume, WhatFailedWhileAnotherWorkerWasLookingIsNotTriedAgainAtOnce) {
  make_events(Shape::plain, 1);
  session().execute(
      "CREATE FUNCTION gate() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN "
      "PERFORM pg_advisory_lock_shared(77); PERFORM pg_advisory_unlock_shared(77); RETURN true; END $$");
  auto wanted = request();
  wanted.where = "gate()";
  const queue::AdoptSql sql(adopted(wanted));
  queue::AdoptRetries retries({.max_attempts = 2, .backoff = {.base = 1h, .cap = 1h}});
  pg::Session gate = session();
  int attempts = 0;
  std::jthread other;
  FunctionHandler handler([&](work::Batch& batch) {
    ++attempts;
    if (attempts == 1) {
      gate.execute("SELECT pg_advisory_lock(77)");
      other = std::jthread([&] {
        FunctionHandler same([&](work::Batch&) { ++attempts; });
        queue::AdoptBatchRunner runner("events", sql, retries, same, false, {});
        pg::Session session = this->session();
        EXPECT_EQ(runner.run(session, std::nullopt, {}).claimed, 0U);
      });
      wait_until(
          [&] { return number("SELECT count(*) FROM pg_locks WHERE objid = 77 AND NOT granted") == 1; },
          "the other worker");
    }
    batch.settle(0, Outcome::failed("no"));
  });
  queue::AdoptBatchRunner runner("events", sql, retries, handler, false, {});
  pg::Session session = this->session();
  EXPECT_EQ(runner.run(session, std::nullopt, {}).failed, 1U);
  gate.execute("SELECT pg_advisory_unlock(77)");
  other.join();
  EXPECT_EQ(attempts, 1);
}

TEST_F(AdoptConsume, AnErrorThatNoRowIsToBlameForEndsIt) {
  make_events(Shape::plain, 300);
  std::atomic<int> runs = 0;
  auto consumer = this->consumer({}, [&](work::Batch& batch) {
    ++runs;
    batch.session()->execute("SELEKT 1");
  });
  EXPECT_THROW(consumer.run({}), pg::Error);
  EXPECT_EQ(runs, 1);
}

TEST_F(AdoptConsume, ATableThatGoesAwayIsAnErrorAndNoLoop) {
  make_events(Shape::plain, 20);
  auto consumer = this->consumer({.workers = 3}, insert_effects);
  session().execute("ALTER TABLE events RENAME TO elsewhere");
  EXPECT_THROW(consumer.run({}), pg::Error);
}

// Ctrl-C waited for as long as a silent server may take.
TEST_F(AdoptConsume, AStopEndsItAlsoBeforeTheServerHasAnswered) {
  make_events(Shape::plain, 1);
  TcpGate gate(TestServer::shared().port());
  pg::Conninfo silent = gate.through(tcp_conninfo());
  silent.set("connect_timeout", "300");
  queue::AdoptConsumer consumer(std::make_shared<const pg::Connector>(silent), adopted(),
                                handlers(insert_effects), {.workers = 1});
  gate.stop_accepting();
  std::stop_source stop;
  stop.request_stop();
  auto ended = std::async(std::launch::async,
                          [&] { return error_of([&] { consumer.run(stop.get_token()); }).exit_code(); });
  EXPECT_EQ(ended.wait_for(60s), std::future_status::ready);
  gate.open();
  EXPECT_EQ(ended.get(), ExitCode::interrupted);
}

}  // namespace
}  // namespace weir::test
