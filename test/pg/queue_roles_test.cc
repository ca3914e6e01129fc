// Each group role can do its whole job, and nothing else.

#include <gtest/gtest.h>

#include "pg/transaction.h"
#include "queue/admin.h"
#include "queue/client.h"
#include "queue/dead_letters.h"
#include "queue/figures.h"
#include "queue/job_view.h"
#include "schema/queries/jobs.h"
#include "schema/schema_check.h"
#include "support/queue_test.h"

namespace weir::queue {
namespace {

class QueueRolesTest : public test::QueueTest {
 protected:
  /// With the rights of one group role and no others.
  [[nodiscard]] std::shared_ptr<const pg::Connector> connector_as(const std::string& role) const {
    pg::Conninfo conninfo = connector().conninfo();
    conninfo.set("options", "-c role=" + role);
    return std::make_shared<const pg::Connector>(conninfo);
  }
  [[nodiscard]] pg::Session as(const std::string& role) const {
    return connector_as(role)->connect(pg::Role::api, "test");
  }
  static std::string refusal(pg::Session& session, const std::string& sql) {
    try {
      session.execute(sql);
      return "ok";
    } catch (const pg::Error& error) {
      return error.sqlstate();
    }
  }
  /// "weir.job SELECT", one a line.
  std::string rights(const std::string& role, const std::string& privileges) {
    return text(
        "SELECT coalesce(string_agg(c.oid::regclass || ' ' || p, E'\\n' ORDER BY 1), '') FROM pg_class c, "
        "unnest('{" +
        privileges +
        "}'::text[]) p WHERE c.relnamespace = 'weir'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND "
        "has_table_privilege('" +
        role + "', c.oid, p)");
  }
  std::string functions(const std::string& role) {
    return text(
        "SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p WHERE p.pronamespace = "
        "'weir'::regnamespace AND has_function_privilege('" +
        role + "', p.oid, 'EXECUTE')");
  }
};

constexpr const char* kDenied = "42501";
constexpr const char* kLarge = "to_jsonb(repeat('x', 20000))";

TEST_F(QueueRolesTest, AProducerEnqueuesInEveryWayAndReadsNothing) {
  pg::Session producer = as("weir_producer");
  for (const std::string arguments :
       {"'new', '1', 'k', -3", "'new', delay => '1 h'", "'new', delay => '1 s'", "'new', deadline => now()",
        "'new', '1', unique_key => 'u'", "'new', '2', unique_key => 'u'",
        "'new', '2', unique_key => 'u', if_exists => 'replace'",
        "'new', unique_key => 'u', delay => '1 h', if_exists => 'reschedule', unique_for => '1 d'",
        "'new', limit_key => 'l', max_attempts => 2"})
    EXPECT_EQ(refusal(producer, "SELECT weir.enqueue(" + arguments + ")"), "ok") << arguments;
  EXPECT_EQ(refusal(producer, std::string("SELECT weir.enqueue('new', ") + kLarge + ", unique_key => 'l')"),
            "ok");
  EXPECT_EQ(refusal(producer, "SELECT weir.enqueue('new', unique_key => 'l', if_exists => 'replace')"), "ok");
  EXPECT_EQ(refusal(producer, std::string("SELECT weir.enqueue_many('new', ARRAY['1', ") + kLarge + "])"),
            "ok");
  {
    pg::Transaction transaction(producer);
    int left = 3;
    EXPECT_EQ(enqueue_bulk(producer,
                           [&](NewJob& job) {
                             job = {.queue = "bulk", .payload = "\"" + std::string(10'000, 'x') + "\""};
                             return left-- > 0;
                           }),
              3);
    transaction.commit();
  }
  const std::vector<NewJob> jobs{{.queue = "a"}, {.queue = "b", .unique_key = "u"}};
  EXPECT_EQ(queue::enqueue_many(producer, jobs).size(), 2U);

  EXPECT_EQ(functions("weir_producer"),
            "enqueue enqueue_many interval_end interval_start item logical_time missing_setting param param "
            "queue_id run_id submit_batch wake_queue");
  EXPECT_EQ(rights("weir_producer", "SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER"), "");
  EXPECT_EQ(refusal(producer, "SELECT nextval('weir.job_id')"), kDenied);
  EXPECT_EQ(refusal(producer, "CREATE TABLE weir.mine (i int)"), kDenied);
}

TEST_F(QueueRolesTest, AWorkerDoesAllThatWorkersAndOperatorsDo) {
  const auto connector = connector_as("weir_worker");
  pg::Session worker = as("weir_worker");
  EXPECT_NO_THROW(schema::require_schema(worker));
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"keep=1", "backoff=1ms", "backoff_cap=1ms", "max_attempts=2"},
        {"max_running=2", "max_per_key=1", "rate=1000/s"}})
    change_queue(worker, words.size() == 4 ? "plain" : "limited", words);
  functions_["good"] = [](const JobContext&) { return work::Outcome::done("1"); };
  functions_["bad"] = [](const JobContext&) { return work::Outcome::failed("bad"); };
  functions_["later"] = [](const JobContext& context) {
    return context.job.payload == "1" ? work::Outcome::done() : work::Outcome::snoozed(std::chrono::hours(1));
  };
  for (const Delivery delivery : {Delivery::leased, Delivery::transactional}) {
    for (const std::string arguments : {"'plain', '1', 'good', unique_key => 'u'", "'plain', '1', 'bad'",
                                        "'plain', to_jsonb(repeat('x', 20000)), 'good'"})
      enqueue(arguments);
    if (delivery == Delivery::leased) enqueue("'limited', '1', 'good', limit_key => 'l'");
    WorkerOptions options{.queues = {"plain"}, .once = true, .delivery = delivery};
    if (delivery == Delivery::leased) options.queues.emplace_back("limited");
    Worker running(
        connector, [this] { return std::make_unique<Kinds>(functions_); }, options);
    running.start();
    EXPECT_TRUE(running.wait_until_finished({}, Deadline::after(std::chrono::seconds(60))));
    running.stop();
  }
  EXPECT_EQ(count("weir.job_dead WHERE error = 'bad'"), 2);
  EXPECT_EQ(count("weir.job_done"), 4);

  const auto dead = std::stoll(text("SELECT min(id)::text FROM weir.job_dead"));
  EXPECT_EQ(retry_job(worker, dead), Retried::replayed);
  EXPECT_EQ(cancel_job(worker, dead), Cancelled::cancelled);
  EXPECT_EQ(view_job(worker, dead)->state, "cancelled");
  EXPECT_EQ(replay_queue(worker, std::nullopt, [](std::int64_t) {}), 1);
  EXPECT_EQ(drop_dead(worker, {}, [](std::int64_t) {}), 0);
  const auto forgotten = worker.run<sql::ForgetDeadJobs>(std::int64_t{10});
  EXPECT_EQ(forgotten.one().forgotten, 0);
  const auto later = enqueue("'plain', delay => '1 h'");
  EXPECT_EQ(retry_job(worker, later), Retried::at_once);
  pause_queues(worker, {"plain"}, true);
  pause_queues(worker, {"plain"}, false);
  EXPECT_EQ(list_jobs(worker, {}).size(), 7U);
  EXPECT_EQ(queue_figures(worker).size(), 2U);
  EXPECT_TRUE(process_figures(worker).empty());
  {
    pg::Transaction transaction(worker);
    int left = 3;
    enqueue_bulk(worker, [&](NewJob& job) { return job.queue = "bulk", left-- > 0; });
    transaction.commit();
  }

  EXPECT_EQ(rights("weir_worker", "TRUNCATE,REFERENCES,TRIGGER"), "");
  for (const std::string sql :
       {"CREATE TABLE weir.mine (i int)", "DROP TABLE weir.job_dead", "SELECT weir.apply_grants()",
        "SELECT * FROM weir.role_grant", "INSERT INTO weir.schema_migration DEFAULT VALUES",
        "UPDATE weir.instance SET id = id", "ALTER TABLE weir.job ADD x int",
        "CREATE OR REPLACE FUNCTION weir.is_large(payload jsonb) RETURNS bool LANGUAGE sql AS 'SELECT true'"})
    EXPECT_EQ(refusal(worker, sql), kDenied) << sql;
}

TEST_F(QueueRolesTest, AViewerSeesEverythingAndChangesNothing) {
  const auto waiting = enqueue("'q', to_jsonb(repeat('x', 20000)), limit_key => 'l'");
  const auto later = enqueue("'q', delay => '1 h'");
  pg::Session viewer = as("weir_viewer");
  EXPECT_NO_THROW(schema::require_schema(viewer));
  EXPECT_EQ(list_jobs(viewer, {}).size(), 2U);
  EXPECT_GT(view_job(viewer, waiting)->payload->size(), 20'000U);
  EXPECT_EQ(view_job(viewer, later)->state, "later");
  EXPECT_EQ(queue_figures(viewer).size(), 1U);
  EXPECT_TRUE(process_figures(viewer).empty());
  EXPECT_EQ(read_queues(viewer).size(), 1U);

  EXPECT_EQ(
      functions("weir_viewer"),
      "batch_at interval_end interval_start item logical_time missing_setting output param param run_id "
      "superseded_by waiting_job why_waiting");
  EXPECT_EQ(rights("weir_viewer", "INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER"), "");
  EXPECT_EQ(refusal(viewer, "SELECT weir.cancel_job(1)"), kDenied);
  EXPECT_EQ(refusal(viewer, "SELECT weir.enqueue('q')"), kDenied);
  EXPECT_EQ(count("weir.job") + count("weir.job_later"), 2);
}

}  // namespace
}  // namespace weir::queue
