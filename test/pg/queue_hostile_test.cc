// Payloads, results and handlers that want to do harm: each costs its own job, and no other.

#include <atomic>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "support/queue_test.h"
#include "support/waiting.h"
#include "work/command_handler.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using work::Outcome;

class HostileTest : public test::QueueTest, public ::testing::WithParamInterface<Delivery> {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    session().execute("SELECT weir.queue_id('q')");
    session().execute(
        "UPDATE weir.queue SET keep_days = 1, backoff_ms = 1, backoff_cap_ms = 1, max_attempts = 2");
    functions_["good"] = [](const JobContext&) { return Outcome::done(); };
  }
  void work_off() { QueueTest::work_off({.queues = {"q"}, .delivery = GetParam()}); }
};

INSTANTIATE_TEST_SUITE_P(Mode, HostileTest, ::testing::Values(Delivery::leased, Delivery::transactional),
                         [](const auto& mode) {
                           return mode.param == Delivery::leased ? "Leased" : "Transactional";
                         });

TEST_P(HostileTest, HandlersThatMisbehaveCostTheirOwnJobsAlone) {
  const std::string not_utf8("bad \xff\xfe and \0 more", 16);
  functions_["throws"] = [&](const JobContext&) -> Outcome { throw std::runtime_error("bad luck"); };
  functions_["odd"] = [](const JobContext&) -> Outcome { throw 42; };
  functions_["nothing"] = [](const JobContext&) { return Outcome(); };
  functions_["bytes"] = [&](const JobContext&) { return Outcome::failed(not_utf8); };
  for (int i = 0; i < 20; ++i) {
    for (const char* kind : {"good", "throws", "good", "odd", "nothing", "bytes", "mystery"})
      enqueue("'q', kind => '" + std::string(kind) + "'");
  }
  work_off();
  EXPECT_EQ(text("SELECT string_agg(kind || ' ' || attempt || ' ' || n, ', ' ORDER BY kind) FROM "
                 "(SELECT kind, attempt, count(*) AS n FROM weir.job_dead GROUP BY 1, 2) d"),
            "bytes 2 20, mystery 1 20, nothing 2 20, odd 2 20, throws 2 20");
  EXPECT_EQ(text("SELECT string_agg(DISTINCT kind || ' ' || attempt, ', ') FROM weir.job_done"), "good 1");
  EXPECT_EQ(count("weir.job_done"), 40);
  expect_no_job_left();
}

TEST_P(HostileTest, AResultThatCannotBeStoredIsADeadLetterAndHoldsNobodyUp) {
  session().execute("CREATE TABLE public.effect (kind text)");
  const auto with = [&](std::string result) {
    return [result = std::move(result)](const JobContext& context) {
      if (context.session != nullptr)
        context.session->execute("INSERT INTO public.effect VALUES ($1)", context.job.kind);
      return Outcome::done(result);
    };
  };
  functions_["no json"] = with("{");
  functions_["nul"] = with(R"({"a": "\u0000"})");
  functions_["bytes"] = with("\"\xff\"");
  functions_["surrogate"] = with(R"("\ud800")");
  functions_["large"] = with('"' + std::string(300'000, 'x') + '"');
  for (const char* kind : {"good", "no json", "nul", "bytes", "surrogate", "large", "good"})
    enqueue("'q', kind => '" + std::string(kind) + "'");
  work_off();
  EXPECT_EQ(text("SELECT string_agg(kind || ' ' || attempt, ', ' ORDER BY kind) FROM weir.job_dead WHERE "
                 "error LIKE 'its "
                 "outcome cannot be stored: %'"),
            "bytes 1, no json 1, nul 1, surrogate 1");
  EXPECT_EQ(text("SELECT string_agg(kind, ', ' ORDER BY kind) FROM weir.job_done"), "good, good, large");
  EXPECT_EQ(count("weir.job_done WHERE length(result #>> '{}') = 300000"), 1);
  if (GetParam() == Delivery::transactional) {
    EXPECT_EQ(text("SELECT string_agg(kind, ', ') FROM public.effect"), "large")
        << "what is given up leaves no effect";
  }
  expect_no_job_left();
}

TEST_P(HostileTest, PastItsDeadlineAJobIsNotBegun) {
  std::atomic<int> calls{0};
  functions_["late"] = [&](const JobContext&) {
    ++calls;
    return Outcome::done();
  };
  for (const char* kind : {"good", "late", "good", "late"})
    enqueue("'q', kind => '" + std::string(kind) + "', deadline => now() " +
            (std::string_view(kind) == "late" ? "- interval '1 s'" : "+ interval '1 hour'"));
  work_off();
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(count("weir.job_dead WHERE kind = 'late' AND error = 'its deadline passed before it was begun'"),
            2);
  EXPECT_EQ(count("weir.job_done"), 2);
  expect_no_job_left();
}

TEST_P(HostileTest, WhatWentWrongBeforeIsKnownUntilItGoesWrongAgain) {
  functions_["late"] = [](const JobContext& context) {
    return context.job.attempt == 1 ? Outcome::failed("first") : Outcome::snoozed(1h);
  };
  enqueue("'q', kind => 'late'");
  const auto worker = this->worker({.queues = {"q"}, .delivery = GetParam()});
  worker->start();
  test::wait_until([&] { return count("weir.job_later WHERE run_at > now() + interval '50 min'") == 1; },
                   "its second attempt");
  worker->stop();
  EXPECT_EQ(text("SELECT attempt || ' ' || error FROM weir.job_later"), "1 first");
}

TEST_P(HostileTest, TextsOfAnyKindArriveAsTheyAre) {
  const std::vector<std::string> texts{"'; DROP TABLE weir.job; --",
                                       "$1",
                                       "%s%n",
                                       "\x01\x02\x1b[31m\x7f",
                                       "\\\\ \\\" \n\r\t",
                                       "{}",
                                       "{\"a\",NULL}",
                                       "NULL",
                                       "Ⅷ ﷽ 👩‍👩‍👧‍👦 \u202e\u0000x",
                                       std::string(100, 'q')};
  std::atomic<int> calls{0};
  for (const std::string& each : texts) {
    const std::string name = each.substr(0, each.find('\0'));
    functions_[name] = [&, name](const JobContext& context) {
      EXPECT_EQ(context.job.kind, name);
      EXPECT_EQ(context.job.source, name);
      ++calls;
      return Outcome::retry(0ms, name);
    };
    session().execute(
        "SELECT weir.enqueue($1, jsonb_build_object($1, $1), $1, unique_key => $1, limit_key => $1, "
        "max_attempts => 1)",
        name);
  }
  QueueTest::work_off({.delivery = GetParam()});
  EXPECT_EQ(calls, static_cast<int>(texts.size()));
  EXPECT_EQ(count("weir.job_dead d JOIN weir.queue q ON q.id = d.queue_id WHERE d.error = q.name AND d.kind "
                  "= q.name AND "
                  "d.limit_key = q.name AND payload ->> q.name = q.name"),
            static_cast<std::int64_t>(texts.size()));
  EXPECT_EQ(count("weir.job_unique"), 0);
  expect_no_job_left();
}

TEST_P(HostileTest, PayloadsAroundTheBoundaryAndFarBeyondArriveWhole) {
  std::atomic<std::int64_t> sizes{0};
  functions_["size"] = [&](const JobContext& context) {
    sizes += static_cast<std::int64_t>(context.job.payload.size());
    return Outcome::done();
  };
  std::int64_t expected = 0;
  for (const std::int64_t size :
       {8180, 8184, 8185, 8186, 8187, 8188, 8189, 8190, 8191, 8192, 8193, 8200, 30'000'000}) {
    session().execute("SELECT weir.enqueue('q', to_jsonb(repeat('x', $1::int4)), 'size')",
                      static_cast<std::int32_t>(size));
    expected += size + 2;
  }
  EXPECT_GT(count("weir.job_payload"), 1);
  EXPECT_LT(count("weir.job_payload"), 13);
  work_off();
  EXPECT_EQ(sizes, expected);
  EXPECT_EQ(count("weir.job_payload"), 0);
  expect_no_job_left();
}

class LimitsTest : public test::QueueTest {};

TEST_F(LimitsTest, AHandlerThatHangsIsStoppedAtItsQueuesLimit) {
  std::atomic<int> stopped{0};
  functions_["count"] = [&](const JobContext& context) {
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(60s), context.stop, unused);
    stopped += context.stop.stop_requested() ? 1 : 0;
    return Outcome();
  };
  enqueue_many("q", 2);
  session().execute("UPDATE weir.queue SET timeout_ms = 20, max_attempts = 1");
  session().execute("UPDATE weir.job SET max_attempts = 1");
  work_off({.queues = {"q"}});
  EXPECT_EQ(stopped, 2);
  EXPECT_EQ(count("weir.job_dead WHERE error = 'it took longer than its queue allows'"), 2);
}

TEST_F(LimitsTest, ARateIsNotExceededByTheClaimsOfAnyWindow) {
  functions_["count"] = [](const JobContext&) { return Outcome::done(); };
  enqueue_many("q", 60);
  session().execute("UPDATE weir.queue SET rate_limit = 10, rate_period_ms = 200, keep_days = 1");
  const auto other = worker({.queues = {"q"}});
  other->start();
  work_off({.queues = {"q"}});
  other->stop();
  EXPECT_EQ(count("weir.job_done"), 60);
  EXPECT_EQ(count("weir.job_done a WHERE (SELECT count(*) FROM weir.job_done b WHERE b.started_at >= "
                  "a.started_at AND "
                  "b.started_at < a.started_at + interval '200 ms') > 10"),
            0);
}

TEST_F(LimitsTest, HistoryIsMadeAheadOnceAndDroppedWhenNobodyKeepsIt) {
  pg::Session one = session();
  one.execute(
      "CREATE TABLE weir.job_done_20200101 PARTITION OF weir.job_done FOR VALUES FROM ('2020-01-01 00:00Z') "
      "TO "
      "('2020-01-02 00:00Z')");
  one.execute("SELECT weir.queue_id('q')");
  // Somebody reads it: that must not keep the coming days from being made.
  pg::Session reader = session();
  reader.execute("BEGIN");
  reader.execute("SELECT count(*) FROM weir.job_done");
  one.execute("SET lock_timeout = '50ms'");
  EXPECT_NO_THROW(one.execute("SELECT weir.keep_job_history()"));
  EXPECT_EQ(count("pg_class WHERE relname = 'job_done_20200101'"), 1);
  reader.execute("COMMIT");
  // Two at a time: one does it, and the other does not fail.
  one.execute("BEGIN");
  one.execute("SELECT weir.keep_job_history()");
  pg::Session two = session();
  EXPECT_EQ(two.execute("SELECT weir.keep_job_history()")[0].get<std::int32_t>(0), 0);
  one.execute("COMMIT");
  EXPECT_EQ(count("pg_class WHERE relname = 'job_done_20200101'"), 0);
  EXPECT_EQ(count("pg_inherits WHERE inhparent = 'weir.job_done'::regclass"), 9);
}

TEST_F(LimitsTest, AfterALongPauseHistoryHasItsPartitionsBeforeTheFirstJobEnds) {
  functions_["count"] = [](const JobContext&) { return Outcome::done(); };
  enqueue_many("q", 10);
  session().execute("UPDATE weir.queue SET keep_days = 1");
  session().execute_script(
      "DO $$ DECLARE p text; BEGIN FOR p IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = "
      "'weir.job_done'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$");
  work_off({.queues = {"q"}});
  EXPECT_EQ(count("weir.job_done"), 10);
  EXPECT_EQ(count("weir.job_dead"), 0);
}

}  // namespace
}  // namespace weir::queue
