// include/weir as a program uses it.

#include <atomic>
#include <limits>
#include <thread>

#include <poll.h>

#include <gtest/gtest.h>

#include <weir/client.h>
#include <weir/worker.h>

#include "queue/progress_reports.h"
#include "support/database.h"
#include "support/errors.h"
#include "support/service_suite.h"
#include "support/waiting.h"

namespace weir {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using test::has;

class LibraryTest : public test::SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    client_.emplace(url());
  }
  void TearDown() override {
    client_.reset();
    SchemaTest::TearDown();
  }
  std::string text(const std::string& sql) {
    pg::Session session = this->session();
    return session.execute("SELECT coalesce((" + sql + ")::text, 'nothing')")[0].get<std::string>(0);
  }
  std::string deaths() { return text("SELECT string_agg(error, '; ' ORDER BY id) FROM weir.job_dead"); }
  [[nodiscard]] Worker worker(Delivery delivery = Delivery::leased) const {
    return Worker(url(), {.queues = {"q"}, .delivery = delivery, .once = true});
  }

  std::optional<Client> client_;
};

TEST_F(LibraryTest, ValuesAreOfTheTypeTheServerExpects) {
  Transaction tx = client_->begin();
  const Rows rows = tx.execute(
      "SELECT $1::int8, $2::float8, $3::bool, $4::text, $5::jsonb, $6::timestamptz::text, $7::text, "
      "$8::float4, "
      "$9::int2",
      std::numeric_limits<std::int64_t>::min(), 0.1, true, "ä'$1", R"({"a": 1})", "2026-01-02 03:04:05+00",
      std::optional<int>(), std::numeric_limits<double>::infinity(), std::optional<int>(7));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows.integer(0, 0), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(rows.number(0, 1), 0.1);
  EXPECT_TRUE(rows.boolean(0, 2));
  EXPECT_EQ(rows.text(0, 3), "ä'$1");
  EXPECT_EQ(rows.text(0, 4), R"({"a": 1})");
  EXPECT_TRUE(has(rows.text(0, 5), "2026-01-02"));
  EXPECT_TRUE(rows.is_null(0, 6));
  EXPECT_EQ(rows.number(0, 7), std::numeric_limits<double>::infinity());
  EXPECT_EQ(rows.integer(0, 8), 7);
  EXPECT_TRUE(has(error_of([&] { static_cast<void>(rows.text(0, 6)); }).what(), "is NULL"));
  EXPECT_TRUE(has(error_of([&] { static_cast<void>(rows.boolean(0, 0)); }).what(), "is int8, not bool"));
  EXPECT_TRUE(has(error_of([&] { static_cast<void>(rows.text(1, 0)); }).what(), "there is no row 1"));
  EXPECT_EQ(error_of([&] { tx.execute("SELECT $1", std::string("a\0b", 3)); }).failure(), Failure::usage);
}

TEST_F(LibraryTest, ATransactionIsUndoneUnlessItIsCommitted) {
  client_->begin().execute("CREATE TABLE public.gone ()");
  {
    Transaction tx = client_->begin();
    tx.execute("CREATE TABLE public.kept ()");
    Client::enqueue(tx, {.queue = "q"});
    tx.commit();
    EXPECT_EQ(error_of([&] { tx.commit(); }).failure(), Failure::usage);
  }
  EXPECT_EQ(text("SELECT to_regclass('public.gone')"), "nothing");
  EXPECT_EQ(text("SELECT to_regclass('public.kept')"), "kept");
  Transaction tx = client_->begin();
  EXPECT_EQ(error_of([&] { tx.execute("ROLLBACK"); }).failure(), Failure::usage);
}

TEST_F(LibraryTest, FailuresSayWhatAProgramCanDo) {
  Transaction tx = client_->begin();
  tx.execute("CREATE TABLE public.once (n int PRIMARY KEY)");
  tx.execute("INSERT INTO once VALUES ($1)", 1);
  const Error twice = error_of([&] { tx.execute("INSERT INTO once VALUES ($1)", 1); });
  EXPECT_EQ(twice.failure(), Failure::statement);
  EXPECT_EQ(twice.sqlstate(), "23505");
  tx.rollback();
  EXPECT_EQ(error_of([] { Client client("postgresql://127.0.0.1:1/none"); }).failure(), Failure::connection);
  EXPECT_EQ(error_of([] { Client client("no url"); }).failure(), Failure::usage);
  session().execute("DROP SCHEMA weir CASCADE");
  EXPECT_TRUE(has(error_of([&] { client_->enqueue({.queue = "q"}); }).remedy(), "weir db migrate"));
  Worker worker = this->worker();
  EXPECT_TRUE(has(error_of([&] { worker.start(); }).remedy(), "migrate"));
}

TEST_F(LibraryTest, AHandlerSaysWhatBecomesOfItsJob) {
  session().execute("SELECT weir.queue_id('q')");
  session().execute("UPDATE weir.queue SET keep_days = 1, backoff_ms = 1, backoff_cap_ms = 1");
  for (const char* kind : {"void", "done", "broken result", "retry", "snooze", "discard", "throw", "odd"})
    client_->enqueue({.queue = "q", .kind = kind, .payload = "[7]", .max_attempts = 2});
  Worker worker = this->worker();
  worker.on("void", [](Job& job) { job.result(R"({"void": true})"); })
      .on("done",
          [](Job& job) {
            EXPECT_EQ(job.payload(), "[7]");
            EXPECT_EQ(job.queue(), "q");
            EXPECT_EQ(job.max_attempts(), 2);
            EXPECT_EQ(error_of([&] { job.transaction().execute("SELECT 1"); }).failure(), Failure::usage);
            return Outcome::done("42");
          })
      .on("broken result", [](Job&) { return Outcome::done("{"); })
      .on("retry",
          [](Job& job) {
            EXPECT_EQ(job.last_error(), job.attempt() == 1 ? "" : "busy");
            return job.attempt() == 1 ? Outcome::retry(1ms, "busy") : Outcome::done();
          })
      .on("snooze", [](Job&) { return Outcome::snoozed(1h); })
      .on("discard", [](Job&) { return Outcome::discarded("never"); })
      .on("throw", [](Job&) { throw std::runtime_error("bad \xFF"); })
      .on("odd", [](Job&) { throw 7; });
  worker.run();
  EXPECT_EQ(
      text(
          "SELECT string_agg(kind || ' ' || attempt || ' ' || coalesce(result::text, '-'), '; ' ORDER BY id) "
          "FROM weir.job_done"),
      "void 1 {\"void\": true}; done 1 42; retry 2 -");
  EXPECT_EQ(deaths(),
            "the result cannot be stored as jsonb: it is no JSON at byte 1; never; bad \\xff; the handler "
            "threw something that is no exception");
  EXPECT_EQ(text("SELECT kind || ' ' || attempt FROM weir.job_later"), "snooze 0");
}

TEST_F(LibraryTest, InATransactionAHandlerThatHidesAFailureHasFailed) {
  session().execute("CREATE TABLE public.effect (n int)");
  for (const char* kind : {"good", "hides", "odd", "good"})
    client_->enqueue({.queue = "q", .kind = kind, .max_attempts = 1});
  Worker worker = this->worker(Delivery::transactional);
  worker
      .on("good",
          [](Job& job) {
            job.transaction().execute("INSERT INTO effect VALUES (1)");
            Client::enqueue(job.transaction(), {.queue = "next"});
          })
      .on("hides",
          [](Job& job) {
            job.transaction().execute("INSERT INTO effect VALUES (2)");
            EXPECT_EQ(error_of([&] { job.transaction().execute("SELECT 1 / 0"); }).sqlstate(), "22012");
          })
      .on("odd", [](Job& job) {
        job.transaction().execute("INSERT INTO effect VALUES (3)");
        throw 7;
      });
  worker.run();
  EXPECT_EQ(text("SELECT string_agg(n::text, ' ') FROM public.effect"), "1 1");
  EXPECT_EQ(text("SELECT count(*) FROM weir.job"), "2");
  EXPECT_TRUE(has(deaths(), "a statement of its transaction failed: division by zero")) << deaths();
  EXPECT_TRUE(has(deaths(), "threw something that is no exception")) << deaths();
}

TEST_F(LibraryTest, AHandlerThatWouldEndItsTransactionEndsOnlyItself) {
  session().execute("CREATE TABLE public.effect (n int)");
  for (const char* kind : {"good", "commits", "chains", "good"})
    client_->enqueue({.queue = "q", .kind = kind, .max_attempts = 1});
  Worker worker = this->worker(Delivery::transactional);
  const auto end_with = [](const char* statement) {
    return [statement](Job& job) {
      job.transaction().execute("INSERT INTO effect VALUES (2)");
      job.transaction().execute(statement);
    };
  };
  worker.on("good", [](Job& job) { job.transaction().execute("INSERT INTO effect VALUES (1)"); })
      .on("commits", end_with("/* as it used to */ COMMIT"))
      .on("chains", end_with("commit and chain"));
  worker.run();
  EXPECT_EQ(text("SELECT string_agg(n::text, ' ') FROM public.effect"), "1 1");
  EXPECT_EQ(text("SELECT count(*) FROM weir.job_dead WHERE error LIKE '%would end the transaction%'"), "2");
}

TEST_F(LibraryTest, AWorkerStartsAndStopsLikeAnyService) {
  std::atomic<int> calls{0};
  Worker worker(url(), {.queues = {"q"}});
  worker.on("", [&](Job&) { ++calls; });
  worker.stop();
  for (int life = 1; life <= 2; ++life) {
    worker.start();
    worker.start();
    EXPECT_EQ(error_of([&] { worker.on("late", [](Job&) {}); }).failure(), Failure::usage);
    client_->enqueue({.queue = "q"});
    test::wait_until([&] { return calls == life; }, "the job");
    worker.stop();
    worker.stop();
    EXPECT_EQ(text("SELECT count(*) FROM weir.process"), "0");
  }
  // run() ends by its token, and by a stop from another thread.
  std::stop_source stop;
  int expected = 2;
  for (const bool by_token : {true, false}) {
    std::jthread running([&] { worker.run(stop.get_token()); });
    test::wait_until([&] { return text("SELECT count(*) FROM weir.process") == "1"; }, "its start");
    client_->enqueue({.queue = "q"});
    ++expected;
    test::wait_until([&] { return calls == expected; }, "the job");
    if (by_token) {
      stop.request_stop();
      stop = std::stop_source();
    } else {
      worker.stop();
    }
    running.join();
  }
  EXPECT_EQ(calls, 4);
}

TEST_F(LibraryTest, StopWaitsForTheHandler) {
  Wakeup begun;
  Wakeup go_on;
  std::atomic<bool> stopped{false};
  Worker worker(url(), {.queues = {"q"}});
  worker.on("", [&](Job& job) {
    begun.notify();
    Wakeup unused;
    wait_fd(go_on.fd(), POLLIN, Deadline::after(30s), job.stop(), unused);
    EXPECT_FALSE(job.stop().stop_requested()) << "there was time to finish";
  });
  client_->enqueue({.queue = "q"});
  worker.start();
  Wakeup unused;
  ASSERT_EQ(wait_fd(begun.fd(), POLLIN, Deadline::after(20s), {}, unused), WaitEnd::ready);
  std::jthread stopping([&] {
    worker.stop();
    stopped = true;
  });
  EXPECT_FALSE(stopped);
  go_on.notify();
  stopping.join();
  EXPECT_EQ(text("SELECT count(*) FROM weir.job_claim"), "0");
  EXPECT_EQ(text("SELECT count(*) FROM weir.job"), "0");
}

TEST_F(LibraryTest, ProgressIsSeenWhileAJobRunsAndGoneAfterIt) {
  Wakeup begun;
  Wakeup go_on;
  for (const Delivery delivery : {Delivery::leased, Delivery::transactional}) {
    client_->enqueue({.queue = "q"});
    Worker worker(url(), {.queues = {"q"}, .delivery = delivery});
    worker.on("", [&](Job& job) {
      for (int i = 0; i <= 1000; ++i) job.progress(i / 500.0, "step " + std::to_string(i) + "\xFF");
      Wakeup unused;
      wait_fd(go_on.fd(), POLLIN, Deadline::after(30s), {}, unused);
    });
    worker.start();
    test::wait_until(
        [&] { return text("SELECT share || ' ' || note FROM weir.job_progress") == "1 step 1000\\xff"; },
        "the progress");
    go_on.notify();
    test::wait_until([&] { return text("SELECT count(*) FROM weir.job_claim") == "0"; }, "the end");
    worker.stop();
    EXPECT_EQ(text("SELECT count(*) FROM weir.job_progress"), "0");
    go_on.drain();
  }
}

TEST_F(LibraryTest, ReportsAreWrittenTogetherOnceInAnInterval) {
  // The first report is written at once; those that come in the hour after it wait for one another.
  queue::ProgressReports reports(shared_connector(), 1h);
  reports.written.enable();
  reports.start();
  reports.report(1, 0.5, "first");
  EXPECT_EQ(reports.written.wait(Deadline::after(20s)), 1U);
  for (int job = 1; job <= 5; ++job) {
    for (int i = 0; i < 100; ++i) reports.report(job, std::numeric_limits<double>::quiet_NaN(), "later");
  }
  reports.forget(5);
  EXPECT_EQ(text("SELECT string_agg(note, ' ') FROM weir.job_progress"), "first");
  reports.stop();  // the rest goes out with it, except what has ended
  EXPECT_EQ(reports.written.wait(Deadline::after(20s)), 4U);
  EXPECT_EQ(text("SELECT string_agg(job_id || ' ' || share || ' ' || note, ', ' ORDER BY job_id) FROM "
                 "weir.job_progress"),
            "1 0 later, 2 0 later, 3 0 later, 4 0 later");
  test::expect_service_contract(
      [this] { return std::make_unique<queue::ProgressReports>(shared_connector()); });
}

}  // namespace
}  // namespace weir
