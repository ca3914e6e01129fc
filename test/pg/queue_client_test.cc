// How jobs come in: each way of enqueueing, in the caller's transaction and in one of its own.

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "pg/transaction.h"
#include "queue/bulk_enqueue.h"
#include "queue_client_fixture.h"
#include "support/actions.h"
#include "support/errors.h"
#include "support/waiting.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using test::has;

using Way = std::function<void(pg::Session&, const std::vector<NewJob>&)>;
const std::map<std::string, Way>& ways() {
  static const std::map<std::string, Way> ways{
      {"one by one",
       [](pg::Session& session, const std::vector<NewJob>& jobs) {
         for (const NewJob& job : jobs) enqueue(session, job);
       }},
      {"many", [](pg::Session& session, const std::vector<NewJob>& jobs) { enqueue_many(session, jobs); }},
      {"bulk",
       [](pg::Session& session, const std::vector<NewJob>& jobs) {
         std::size_t at = 0;
         enqueue_bulk(session, [&](NewJob& job) { return at < jobs.size() && (job = jobs[at++], true); });
       }},
  };
  return ways;
}

TEST_F(ClientTest, JobsLiveAndDieWithTheCallersTransaction) {
  for (const auto& [name, way] : ways()) {
    pg::Session session = this->session();
    session.execute("DELETE FROM weir.job");
    {
      pg::Transaction transaction(session);
      way(session, {{.queue = "q"}, {.queue = "q", .payload = '"' + std::string(10'000, 'x') + '"'}});
      EXPECT_EQ(count("weir.job"), "0") << name << ": seen before the commit";
    }
    EXPECT_EQ(count("weir.job"), "0") << name << ": kept after a rollback";
    EXPECT_EQ(count("weir.job_payload"), "0") << name;
    pg::Transaction transaction(session);
    way(session, {{.queue = "q"}, {.queue = "q"}});
    transaction.commit();
    EXPECT_EQ(count("weir.job"), "2") << name;
  }
}

TEST_F(ClientTest, EveryWayWritesTheSame) {
  const auto day = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  const std::vector<NewJob> jobs{
      {.queue = "plain"},
      {.queue = "full",
       .kind = "mail",
       .payload = R"({"to": "ännchen", "n": 1e10})",
       .priority = -7,
       .max_attempts = 3,
       .limit_key = "customer 1",
       .deadline = day + std::chrono::days(2)},
      {.queue = "full", .kind = "later", .payload = "[1, null]", .priority = 32767, .delay = 90min},
      {.queue = "full", .run_at = std::chrono::system_clock::now() + 3h, .delay = 1min, .limit_key = ""},
      {.queue = "full", .kind = "due", .run_at = std::chrono::system_clock::now() - 1h},
      {.queue = "full", .kind = "large", .payload = '"' + std::string(20'000, 'x') + '"'},
      {.queue = "full",
       .kind = "large, later",
       .payload = '"' + std::string(20'000, 'y') + '"',
       .delay = 90min},
      {.queue = "'; DROP TABLE weir.job; --", .kind = "\\\t\n\"$1", .payload = R"("\\'; --")"},
  };
  std::string first;
  for (const auto& [name, way] : ways()) {
    pg::Session session = this->session();
    session.execute("DELETE FROM weir.job");
    session.execute("DELETE FROM weir.job_later");
    session.execute("DELETE FROM weir.job_payload");
    pg::Transaction transaction(session);
    way(session, jobs);
    transaction.commit();
    if (first.empty()) first = contents();
    EXPECT_EQ(contents(), first) << name;
  }
  EXPECT_TRUE(has(first, "job plain  {} f 0 25 0 0")) << first;
  EXPECT_TRUE(has(first, "job full mail {\"n\": 10000000000, \"to\": \"ännchen\"} f -7 3 customer 1"))
      << first;
  EXPECT_TRUE(has(first, " 0 0 90\n")) << first;
  EXPECT_TRUE(has(first, " 0 0 180")) << first;
  EXPECT_EQ(count("weir.job_payload"), "2");
}

TEST_F(ClientTest, JobsAlikeAreOneCallAndTheirIdsComeInOrder) {
  std::vector<NewJob> jobs;
  for (int i = 0; i < 100; ++i) jobs.push_back({.queue = "q", .kind = "k", .payload = std::to_string(i)});
  const auto ids = client_->enqueue_many(jobs);
  ASSERT_EQ(ids.size(), 100U);
  EXPECT_EQ(text("SELECT payload FROM weir.job WHERE seq = " + std::to_string(ids[42])), "42");
  EXPECT_TRUE(client_->enqueue_many({}).empty());
}

TEST_F(ClientTest, ABulkIsSentInPiecesAndKeepsItsOrder) {
  pg::Session session = this->session();
  pg::Transaction transaction(session);
  BulkEnqueue bulk(session);
  EXPECT_TRUE(bulk.copies());
  constexpr int kJobs = 100'000;
  std::size_t most = 0;
  for (int i = 0; i < kJobs; ++i) {
    // Now and then one that goes to another table, which must not come before or after its turn.
    const std::string filler(i % 1000 == 500 ? 9000 : 300, 'x');
    bulk.add({.queue = "q", .payload = "[" + std::to_string(i) + ", \"" + filler + "\"]"});
    most = std::max(most, bulk.pending_bytes());
  }
  EXPECT_EQ(bulk.finish(), kJobs);
  transaction.commit();
  EXPECT_LT(most, 1'100'000U);
  EXPECT_EQ(count("weir.job"), std::to_string(kJobs));
  EXPECT_EQ(count("weir.job_payload"), "100");
  EXPECT_EQ(text("SELECT count(*) FROM (SELECT (coalesce(j.payload, p.payload)->>0)::int AS n,"
                 " row_number() OVER (ORDER BY j.seq) - 1 AS place"
                 " FROM weir.job j LEFT JOIN weir.job_payload p ON p.id = j.seq) x WHERE n <> place"),
            "0");
  // Nothing that the sequence gave out is given out again.
  const auto id = client_->enqueue({.queue = "q"});
  EXPECT_EQ(text("SELECT max(seq) FROM weir.job"), std::to_string(id));
}

TEST_F(ClientTest, ABulkOfABrokenSourceLeavesNothing) {
  int given = 0;
  EXPECT_THROW(client_->enqueue_bulk([&](NewJob& job) {
    job = {.queue = "q"};
    if (++given > 25'000) throw std::runtime_error("the file has ended in mid-line");
    return true;
  }),
               std::runtime_error);
  EXPECT_EQ(count("weir.job"), "0");
  EXPECT_EQ(client_->enqueue_bulk([&](NewJob& job) {
    job = {.queue = "q"};
    return ++given <= 25'100;
  }),
            99);
  EXPECT_EQ(count("weir.job"), "99");
}

TEST_F(ClientTest, ABulkNeedsATransactionAndTakesNoUniqueKeys) {
  pg::Session session = this->session();
  EXPECT_TRUE(has(error_of([&] { BulkEnqueue bulk(session); }).what(), "within a transaction only"));
  const Error error = error_of([&] {
    client_->enqueue_bulk([](NewJob& job) {
      job = {.queue = "q", .unique_key = "u"};
      return true;
    });
  });
  EXPECT_TRUE(has(error.what(), "a job with a unique key cannot be enqueued in bulk"));
  EXPECT_EQ(error.failure(), Failure::usage);
}

TEST_F(ClientTest, EachWayWakesASleepingWorker) {
  std::atomic<int> calls{0};
  const auto worker = this->worker(
      [&](const JobContext&) {
        ++calls;
        return work::Outcome::done();
      },
      {.queues = {"q"}, .longest_sleep = 1h});
  const NewJob job{.queue = "q"};
  const std::map<std::string, std::function<void()>> all{
      {"enqueue", [&] { client_->enqueue(job); }},
      {"enqueue_many",
       [&] {
         client_->enqueue_many({&job, 1});
       }},
      {"enqueue_many, not alike",
       [&] { client_->enqueue_many(std::vector<NewJob>{{.queue = "q", .limit_key = "k"}}); }},
      {"bulk",
       [&] {
         int left = 1;
         client_->enqueue_bulk([&](NewJob& next) { return next = job, left-- > 0; });
       }},
      {"within a transaction",
       [&] {
         pg::Session session = this->session();
         pg::Transaction transaction(session);
         enqueue(session, job);
         transaction.commit();
       }},
  };
  int expected = 0;
  for (const auto& [name, way] : all) {
    ASSERT_TRUE(worker->asleep().wait(Deadline::after(20s))) << name;
    way();
    ++expected;
    test::wait_until([&] { return calls == expected; }, "the job of " + name);
  }
  worker->stop();
}

TEST_F(ClientTest, AProducerEnqueuesEveryWayAndTouchesNoTable) {
  for (const auto& [name, way] : ways()) {
    pg::Session session = this->session();
    session.execute("DELETE FROM weir.job");
    session.execute("SET ROLE weir_producer");
    pg::Transaction transaction(session);
    way(session, {{.queue = "new " + name, .limit_key = "k"}, {.queue = "q", .delay = 1h}});
    transaction.commit();
    EXPECT_EQ(count("weir.job"), "1") << name;
    EXPECT_EQ(test::failure_of([&] { session.execute("SELECT FROM weir.job"); }).sqlstate(), "42501");
  }
  pg::Session session = this->session();
  session.execute("SET ROLE weir_producer");
  pg::Transaction transaction(session);
  BulkEnqueue bulk(session);
  EXPECT_FALSE(bulk.copies());
  std::size_t most = 0;
  for (int i = 0; i < 30'000; ++i) {
    bulk.add({.queue = "many", .payload = "\"" + std::string(100, 'x') + "\""});
    most = std::max(most, bulk.pending_bytes());
  }
  EXPECT_EQ(bulk.finish(), 30'000);
  transaction.commit();
  EXPECT_LT(most, 1'100'000U);
  EXPECT_EQ(count("weir.job j JOIN weir.queue q ON q.id = j.queue_id WHERE q.name = 'many'"), "30000");
}

// weir.enqueue runs with its owner's rights, and without a search_path of its own.
TEST_F(ClientTest, WhatAProducerHasInItsSearchPathIsNotCalledWithTheOwnersRights) {
  session().execute_script(
      "CREATE SCHEMA trap; CREATE TABLE trap.sprung (by text); GRANT USAGE ON SCHEMA trap TO PUBLIC;"
      "DO $do$ DECLARE t text; o text; n int := 0; BEGIN"
      "  FOREACH t IN ARRAY ARRAY['text', 'int4', 'int8', 'int2', 'bool', 'timestamptz', 'jsonb'] LOOP"
      "    FOREACH o IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>='] LOOP"
      "      n := n + 1;"
      "      EXECUTE format('CREATE FUNCTION trap.f%s(%s, %s) RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN ' ||"
      "        'INSERT INTO trap.sprung VALUES (%L); RETURN true; END $f$', n, t, t, o || ' ' || t);"
      "      EXECUTE format('CREATE OPERATOR trap.%s (FUNCTION = trap.f%s, LEFTARG = %s, RIGHTARG = %s)',"
      "                     o, n, t, t);"
      "    END LOOP;"
      "  END LOOP;"
      "  FOREACH t IN ARRAY ARRAY['hashtextextended(text, int8) RETURNS int8',"
      "                           'pg_try_advisory_lock(int8) RETURNS bool',"
      "                           'pg_advisory_unlock(int8) RETURNS bool', 'pg_column_size(jsonb) RETURNS "
      "int4',"
      "                           'now() RETURNS timestamptz', 'clock_timestamp() RETURNS timestamptz'] LOOP"
      "    EXECUTE 'CREATE FUNCTION trap.' || t || ' LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO trap.sprung "
      "VALUES ('"
      "            || quote_literal(t) || '); RETURN NULL; END $f$';"
      "  END LOOP;"
      "  CREATE DOMAIN trap.int8 AS pg_catalog.int8 CHECK (VALUE IS NULL);"
      "END $do$;");
  pg::Session producer = session();
  producer.execute("SET ROLE weir_producer");
  producer.execute("SET search_path = trap, pg_catalog");
  for (const char* call :
       {"'q'", "'q'", "'q', priority => 7", "'q', delay => '1 h'", "'q', unique_key => 'k'",
        "'q', unique_key => 'k', if_exists => 'replace'", "'q', max_attempts => 3"}) {
    producer.execute("SELECT weir.enqueue(" + std::string(call) + ")");
  }
  EXPECT_EQ(text("SELECT string_agg(DISTINCT by, ', ') FROM trap.sprung"), "nothing");
  EXPECT_EQ(count("weir.job"), "5");
}

TEST_F(ClientTest, WhatTheServerWouldRefuseIsNotSent) {
  using namespace std::string_literals;
  const std::vector<std::pair<NewJob, std::string>> cases{
      {{}, "it names no queue"},
      {{.queue = "q", .payload = ""}, "it is no JSON at byte"},
      {{.queue = "q", .payload = "{\"a\":}"}, "it is no JSON at byte 5"},
      {{.queue = "q", .payload = "1 2"}, "it is no JSON at byte"},
      {{.queue = "q", .payload = "NaN"}, "it is no JSON at byte"},
      {{.queue = "q", .payload = "\"a\xFFz\""}, "it is not UTF-8 at byte 2"},
      {{.queue = "q", .payload = "\"a\0b\""s}, "it is no JSON at byte"},
      {{.queue = "q", .payload = R"("\u0000")"}, "\\u0000"},
      {{.queue = "q", .payload = R"("\ud800")"}, "it is no JSON at byte"},
      {{.queue = "q", .payload = "\xEF\xBB\xBF{}"}, "byte order mark"},
      {{.queue = "q", .payload = std::string(2000, '[') + std::string(2000, ']')}, "nested"},
      {{.queue = "q\0"s}, "its queue has a zero byte at 1"},
      {{.queue = "q", .kind = "k\xC3"}, "its kind is not UTF-8 at byte 1"},
      {{.queue = "q", .unique_key = "\0"s}, "its unique_key has a zero byte at 0"},
      {{.queue = "q", .limit_key = "\xFF"}, "its limit_key is not UTF-8 at byte 0"},
      {{.queue = "q", .priority = 32768}, "its priority is 32768"},
      {{.queue = "q", .priority = -32769}, "its priority is -32769"},
      {{.queue = "q", .max_attempts = 0}, "its max_attempts is 0"},
      {{.queue = "q", .max_attempts = 32768}, "its max_attempts is 32768"},
  };
  for (const auto& [name, way] : ways()) {
    pg::Session session = this->session();
    pg::Transaction transaction(session);
    session.execute("CREATE TABLE public.effect ()");
    for (const auto& [job, what] : cases) {
      const Error error = error_of([&, &wrong = job] { way(session, {{.queue = "q"}, wrong}); });
      EXPECT_TRUE(has(error.what(), what)) << name << ": " << error.what() << ", not " << what;
      EXPECT_EQ(error.failure(), Failure::usage) << error.what();
      EXPECT_FALSE(error.remedy().empty()) << error.what();
    }
    EXPECT_EQ(session.execute("SELECT 1")[0].get<std::int32_t>(0), 1) << "the transaction lives";
  }
  // jsonb takes what a double cannot hold.
  client_->enqueue({.queue = "q", .payload = "123456789012345678901234567890.5"});
  EXPECT_EQ(text("SELECT payload FROM weir.job"), "123456789012345678901234567890.5");
}

TEST_F(ClientTest, ASessionThatGoesInMidWayLeavesADoubt) {
  // The first one's open transaction has the key, so the second waits, and nobody knows how it would end.
  pg::Session first = session();
  pg::Transaction transaction(first);
  enqueue(first, {.queue = "q", .unique_key = "u"});
  std::jthread cut([&] {
    const std::string waiting =
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    test::wait_until([&] { return text(waiting) != "nothing"; }, "the second one to wait");
    text("SELECT pg_terminate_backend((" + waiting + "))");
  });
  const Error error = error_of([&] { client_->enqueue({.queue = "q", .unique_key = "u"}); });
  EXPECT_EQ(error.failure(), Failure::in_doubt) << error.what();
  EXPECT_TRUE(has(error.remedy(), "unique_key"));
  transaction.rollback();
  client_->enqueue({.queue = "q", .unique_key = "u"});
  EXPECT_EQ(count("weir.job"), "1");
}

}  // namespace
}  // namespace weir::queue
