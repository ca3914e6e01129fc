#include "queue/demo_workers.h"

#include <algorithm>
#include <exception>
#include <latch>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "base/arrival.h"
#include "base/error.h"
#include "base/mutex.h"
#include "pg/connector.h"
#include "pg/scratch_database.h"
#include "pg/transaction.h"
#include "queue/worker.h"
#include "schema/migrator.h"
#include "work/sql_handler.h"

namespace weir::queue {
namespace {

// No named queries: they are about tables that exist in the demo's database alone, and two of the three ways
// are what people write who do not have Weir.

constexpr const char* kMakeEvents = R"(
DROP SCHEMA IF EXISTS demo CASCADE;
CREATE SCHEMA demo;
CREATE TABLE demo.events (
  event_id        bigint      NOT NULL,
  event_timestamp timestamptz NOT NULL,
  processed       boolean     NOT NULL DEFAULT false,
  payload         jsonb       NOT NULL,
  PRIMARY KEY (event_id, event_timestamp)
) PARTITION BY RANGE (event_timestamp);
CREATE TABLE demo.events_1 PARTITION OF demo.events FOR VALUES FROM ('2026-01-01Z') TO ('2026-01-02Z');
CREATE TABLE demo.events_2 PARTITION OF demo.events FOR VALUES FROM ('2026-01-02Z') TO ('2026-01-03Z');
CREATE TABLE demo.events_3 PARTITION OF demo.events FOR VALUES FROM ('2026-01-03Z') TO ('2026-01-04Z');
CREATE TABLE demo.events_4 PARTITION OF demo.events FOR VALUES FROM ('2026-01-04Z') TO ('2026-01-05Z');
CREATE INDEX ON demo.events (event_timestamp) WHERE NOT processed;
-- What processing an event does. No key: an effect that happens twice is seen.
CREATE TABLE demo.effect (event_id bigint NOT NULL);
)";
constexpr const char* kFillEvents = R"(
INSERT INTO demo.events (event_id, event_timestamp, payload)
SELECT n, timestamptz '2026-01-01Z' + n * interval '4 days' / ($1::int4 + 1), jsonb_build_object('n', n)
  FROM generate_series(1, $1::int4) n)";

constexpr const char* kPollMany = R"(
SELECT array_agg(event_id) FROM (
  SELECT event_id FROM demo.events WHERE NOT processed ORDER BY event_timestamp LIMIT 100) e)";
constexpr const char* kPollOne = R"(
SELECT array_agg(event_id) FROM (
  SELECT event_id FROM demo.events WHERE NOT processed ORDER BY event_timestamp LIMIT 1 FOR UPDATE SKIP LOCKED) e)";
constexpr const char* kProcess = "INSERT INTO demo.effect SELECT unnest($1::bigint[])";
constexpr const char* kMark = "UPDATE demo.events SET processed = true WHERE event_id = ANY ($1::bigint[])";

constexpr const char* kEnqueue = R"(
SELECT count(*) FROM weir.enqueue_many('events', ARRAY(
  SELECT jsonb_build_object('id', event_id, 'at', event_timestamp) FROM demo.events ORDER BY event_timestamp)))";
constexpr const char* kWork = R"(
WITH done AS (
  UPDATE demo.events e SET processed = true FROM weir_job j
   WHERE e.event_id = (j.payload ->> 'id')::bigint AND e.event_timestamp = (j.payload ->> 'at')::timestamptz
  RETURNING e.event_id)
INSERT INTO demo.effect SELECT event_id FROM done)";

constexpr const char* kCount = R"(
SELECT (SELECT count(DISTINCT event_id) FROM demo.effect), (SELECT count(*) FROM demo.effect),
       (SELECT count(*) FROM demo.events e
         WHERE e.processed AND NOT EXISTS (SELECT FROM demo.effect f WHERE f.event_id = e.event_id)))";

constexpr const char* kCountJobs =
    "SELECT (SELECT count(*) FROM weir.job) + (SELECT count(*) FROM weir.job_later) + (SELECT count(*) FROM "
    "weir.job_dead)";

class Demo {
 public:
  Demo(const pg::ScratchDatabase& database, const DemoOptions& options)
      : options_(options), connector_(std::make_shared<const pg::Connector>(database.conninfo())) {
    options_.on_step("making the demo's database");
    pg::Session session = connect();
    schema::migrate(session);
  }

  DemoResult polling(std::string name, const char* poll) {
    set_up();
    options_.on_step(name);
    const SteadyTime began = std::chrono::steady_clock::now();
    const Deadline end = Deadline::after(options_.longest);
    {
      std::latch all(options_.workers);
      std::vector<std::jthread> workers;
      workers.reserve(static_cast<std::size_t>(options_.workers));
      for (int i = 0; i < options_.workers; ++i) {
        try {
          workers.emplace_back([this, poll, end, &all] { guarded([&] { poll_on(poll, end, all); }); });
        } catch (...) {
          all.count_down(options_.workers - i);  // those that wait for all are joined on the way out
          throw;
        }
      }
    }
    return result(std::move(name), began);
  }

  DemoResult weir(std::string name) {
    set_up();
    {
      pg::Session session = connect();
      session.execute(kEnqueue);
      session.execute("ANALYZE weir.job");
    }
    options_.on_step(name);
    const SteadyTime began = std::chrono::steady_clock::now();
    Worker worker(connector_,
                  [] { return std::make_unique<work::SqlHandler>(work::SqlOptions{.sql = kWork}); },
                  {.queues = {"events"},
                   .slots = static_cast<std::size_t>(options_.workers),
                   .once = true,
                   .delivery = Delivery::transactional});
    worker.start();
    worker.wait_until_finished(options_.stop, Deadline::after(options_.longest));
    const Duration span = std::chrono::steady_clock::now() - began;
    worker.stop();
    DemoResult result = this->result(std::move(name), began);
    result.span = span;
    // An event that has neither an effect nor a job.
    pg::Session session = connect();
    const pg::Result jobs = session.execute(kCountJobs);
    result.lost =
        std::max<std::int64_t>(result.lost, result.events - result.processed - jobs[0].get<std::int64_t>(0));
    return result;
  }

 private:
  [[nodiscard]] pg::Session connect() const {
    pg::Session session = connector_->connect(pg::Role::api, "demo", {.stop = options_.stop});
    session.set_stop(options_.stop);
    return session;
  }

  void set_up() {
    options_.on_step(fmt::format("filling a table with {} events", options_.events));
    pg::Session session = connect();
    session.execute_script(kMakeEvents);
    session.execute(kFillEvents, std::int32_t{options_.events});
    session.execute("ANALYZE demo.events");
  }

  /// One worker: until it finds nothing, or the time is over.
  void poll_on(const char* poll, Deadline end, std::latch& all) const {
    Arrival arrival(all);
    pg::Session session = connect();
    while (!end.expired() && !options_.stop.stop_requested()) {
      try {
        pg::Transaction transaction(session);
        const pg::Result found = session.execute(poll);
        const auto ids = found[0].get<std::optional<std::vector<std::int64_t>>>(0);
        // All have read before any has marked: what happens to who polls sooner or later, and here at once.
        arrival.wait_for_all();
        if (!ids) return;
        session.execute(kProcess, *ids);
        session.execute(kMark, *ids);
        transaction.commit();
      } catch (const pg::Retryable&) {
        // A deadlock with another worker that marks the same events: the transaction was undone.
      }
    }
  }

  template <class Action>
  void guarded(Action action) {
    try {
      action();
    } catch (...) {
      const MutexLock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  DemoResult result(std::string name, SteadyTime began) {
    DemoResult result;
    result.span = std::chrono::steady_clock::now() - began;
    {
      const MutexLock lock(mutex_);
      if (failure_) std::rethrow_exception(failure_);
    }
    pg::Session session = connect();
    const pg::Result counted = session.execute(kCount);
    result.name = std::move(name);
    result.events = options_.events;
    result.processed = counted[0].get<std::int64_t>(0);
    result.duplicates = counted[0].get<std::int64_t>(1) - result.processed;
    result.lost = counted[0].get<std::int64_t>(2);
    return result;
  }

  const DemoOptions& options_;
  std::shared_ptr<const pg::Connector> connector_;
  Mutex mutex_;
  std::exception_ptr failure_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace

std::vector<DemoResult> run_workers_demo(const pg::Conninfo& server, const DemoOptions& options) {
  const pg::ScratchDatabase database(server, "weir_demo", options.stop);
  Demo demo(database, options);
  std::vector<DemoResult> results;
  results.push_back(demo.polling("polling without locks", kPollMany));
  results.push_back(demo.polling("SKIP LOCKED, row by row", kPollOne));
  results.push_back(demo.weir("Weir, transactional"));
  if (options.stop.stop_requested()) throw Error(ExitCode::interrupted, "the demo was interrupted");
  return results;
}

}  // namespace weir::queue
