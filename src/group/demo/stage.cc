#include "group/demo/stage.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/error.h"
#include "base/wait.h"
#include "pg/transaction.h"
#include "schema/migrator.h"

namespace weir::group::demo {
namespace {

constexpr Duration kFrameEvery = std::chrono::milliseconds(200);
constexpr Duration kSampleEvery = std::chrono::milliseconds(20);
/// The one whose row somebody holds.
constexpr const char* kBlocked = "g1";

// The blocked one is in a statement that waits: it is not meant. Of the others beat_at is what their owner
// said last.
constexpr const char* kSample = R"(
SELECT coalesce(extract(epoch FROM max(clock_timestamp() - h.beat_at) FILTER (WHERE h.run_id IS NOT NULL AND h.key <> $2)), 0)::float8,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a
         WHERE a.datname = current_database() AND a.application_name ~ '^weir:(group|poll|recovery):')
  FROM weir.group_hold h WHERE h.sink_id = $1::int4)";

// When it was locked counts as much as when it was not: from the first end to now there are no pauses but
// real ones.
constexpr const char* kStandstill = R"(
SELECT coalesce(extract(epoch FROM max(gap)), 0)::float8
  FROM (SELECT lead(a.ended_at, 1, clock_timestamp()) OVER (ORDER BY a.ended_at) - a.ended_at AS gap
          FROM weir.batch_attempt a WHERE a.sink_id = $1::int4 AND a.outcome = 'succeeded') x)";

constexpr const char* kCounts = R"(
SELECT count(*) FILTER (WHERE a.outcome = 'succeeded'), count(*) FILTER (WHERE a.outcome = 'lost'),
       (SELECT count(*) - count(DISTINCT (e.run_id, e.idx)) FROM demo.effect e WHERE e.sink_id = $1::int4)
  FROM weir.batch_attempt a WHERE a.sink_id = $1::int4)";

constexpr const char* kTimeline = R"(
SELECT floor(extract(epoch FROM a.ended_at - f.created_at) * 1000 / $2::int8)::int8 AS slot, count(*)
  FROM weir.batch_attempt a JOIN weir.feed_sink f ON f.id = a.sink_id
 WHERE a.sink_id = $1::int4 AND a.outcome = 'succeeded' GROUP BY 1 ORDER BY 1)";

std::int64_t ms(Duration span) { return std::chrono::duration_cast<std::chrono::milliseconds>(span).count(); }

Duration seconds(double value) { return from_seconds(value); }

std::shared_ptr<const pg::Connector> connector_to(const pg::ScratchDatabase& database) {
  pg::Connector::Options options;
  options.users_search_path = true;
  return std::make_shared<const pg::Connector>(database.conninfo(), options);
}

/// Holds a row for as long as it lives.
class Blocker {
 public:
  explicit Blocker(pg::Session session) : session_(std::move(session)), transaction_(session_) {
    // Whoever is at it just now is waited for.
    session_.execute("SELECT FROM demo.account WHERE key = $1 FOR UPDATE", kBlocked);
  }

 private:
  pg::Session session_;
  pg::Transaction transaction_;
};

}  // namespace

Stage::Stage(const pg::Conninfo& server, const GroupsDemoOptions& options)
    : options_(options), database_(server, "weir_demo", options.stop), connector_(connector_to(database_)) {
  pg::Session session = connect();
  schema::migrate(session);
  session.execute_script(
      "CREATE SCHEMA demo; CREATE TABLE demo.account (key text PRIMARY KEY, batches int8 NOT NULL DEFAULT 0);"
      "CREATE TABLE demo.effect (sink_id int4 NOT NULL, run_id int8 NOT NULL, idx int4 NOT NULL)");
  session.execute("INSERT INTO demo.account (key) SELECT 'g' || n FROM generate_series(1, $1::int4) n",
                  options.groups);
}

pg::Session Stage::connect() const {
  pg::Session session = connector_->connect(pg::Role::api, "demo", {.stop = options_.stop});
  session.set_stop(options_.stop);
  return session;
}

SinkDefinition Stage::make_feed(const std::string& name) {
  pg::Session session = connect();
  // Attempts without end: how often a batch is begun is a figure, and no reason to fail.
  session.execute(
      "INSERT INTO weir.feed (name, lease_ms, backoff_ms, max_attempts) VALUES ($1, $2::int8, 100, 100)",
      name, std::max<std::int64_t>(1000, ms(options_.lease())));
  const SinkDefinition sink = add_sink(session, {.feed = name, .name = name});
  const std::int64_t each = options_.each / options_.work + 1;
  session.execute(
      "SELECT count(weir.submit_batch('demo', 'g' || g, '{}', 'r', feed => $1)) FROM generate_series(1, "
      "$2::int4) g, generate_series(1, $3::int8) b",
      name, options_.groups, each);
  // The picture begins now, and not before there was anything to do.
  session.execute("UPDATE weir.feed_sink SET created_at = clock_timestamp() WHERE id = $1", sink.id);
  session.execute("ANALYZE weir.batch_step, weir.batch, weir.batch_run");
  return sink;
}

void Stage::watch(const SinkDefinition& sink, std::vector<GroupsDemoWay>& ways) const {
  pg::Session session = connect();
  GroupsDemoWay& way = ways.back();
  std::optional<Blocker> blocker;
  const SteadyTime began = std::chrono::steady_clock::now();
  Deadline frame = Deadline::after(kFrameEvery);
  Wakeup unused;
  const Duration eighth = options_.each / 8;
  while (way.lasted < options_.each) {
    // Two of eight parts free after one, and two held, and so on: _##__##_
    const auto part = way.lasted / eighth % 4;
    const bool held = part == 1 || part == 2;
    if (held && !blocker) {
      blocker.emplace(connect());
      way.blocked.emplace_back(std::chrono::steady_clock::now() - began, Duration::zero());
    } else if (!held && blocker) {
      blocker.reset();
      way.blocked.back().second = std::chrono::steady_clock::now() - began;
    }
    const pg::Result seen = session.execute(kSample, sink.id, kBlocked);
    way.silence = std::max(way.silence, seconds(seen[0].get<double>(0)));
    way.connections = std::max(way.connections, seen[0].get<std::int64_t>(1));
    way.lasted = std::chrono::steady_clock::now() - began;
    if (frame.expired()) {
      read(sink, way);
      options_.on_frame(ways);
      frame = Deadline::after(kFrameEvery);
    }
    if (wait_fd(-1, 0, Deadline::after(kSampleEvery), options_.stop, unused) == WaitEnd::stopped)
      throw Error(ExitCode::interrupted, "the demo was interrupted");
  }
}

void Stage::read(const SinkDefinition& sink, GroupsDemoWay& way) const {
  pg::Session session = connect();
  // All of it at one time: the picture adds up to the table.
  pg::Transaction snapshot(session, {.isolation = pg::Isolation::repeatable_read, .read_only = true});
  const pg::Result counts = session.execute(kCounts, sink.id);
  way.batches = counts[0].get<std::int64_t>(0);
  way.taken = counts[0].get<std::int64_t>(1);
  way.twice = counts[0].get<std::int64_t>(2);
  way.standstill = seconds(session.execute(kStandstill, sink.id)[0].get<double>(0));
  way.timeline.assign(static_cast<std::size_t>(way.lasted / GroupsDemoWay::kSlot) + 1, 0);
  for (const auto& row : session.execute(kTimeline, sink.id, ms(GroupsDemoWay::kSlot))) {
    const auto slot = static_cast<std::size_t>(row.get<std::int64_t>(0));
    if (slot < way.timeline.size()) way.timeline[slot] = row.get<std::int64_t>(1);
  }
}

}  // namespace weir::group::demo
