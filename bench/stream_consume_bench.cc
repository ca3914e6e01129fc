#include <algorithm>

#include <fmt/format.h>

#include "pg/transaction.h"
#include "stream_scene.h"

namespace weir::bench {
namespace {

constexpr std::int64_t kEvents = 2'000'000;
constexpr std::size_t kWorkers = 4;
/// Of the pattern with a row per event; its index and its dead rows make it slower the longer it runs.
constexpr int kRows = 800'000;
constexpr int kBatch = 10'000;

void make_rows(StreamScene& scene) {
  scene.session().execute_script(fmt::format(
      "DROP TABLE IF EXISTS rows; CREATE TABLE rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
      "at timestamptz NOT NULL DEFAULT now(), key text, payload jsonb NOT NULL, processed boolean NOT NULL "
      "DEFAULT false) WITH (fillfactor = 70); CREATE INDEX ON rows (id) WHERE NOT processed;"
      "INSERT INTO rows (key, payload) SELECT 'k' || n % 1000, jsonb_build_object('n', n, 'text', "
      "repeat('x', "
      "230)) FROM generate_series(1, {}) n;",
      kRows));
  scene.session().execute("VACUUM ANALYZE rows");
  scene.session().execute("CHECKPOINT");
}

std::string take_rows() {
  return fmt::format(
      "WITH c AS MATERIALIZED (SELECT id FROM rows WHERE NOT processed ORDER BY id LIMIT {} FOR UPDATE SKIP "
      "LOCKED), u "
      "AS (UPDATE rows r SET processed = true FROM c WHERE r.id = c.id RETURNING r.payload) SELECT "
      "count(payload) FROM "
      "u;\n",
      kBatch);
}

/// A new group has all of it before it each time.
double consume_all(StreamScene& scene, StreamScene::By by, const std::string& stream = "events") {
  static int groups = 0;
  const std::string group = fmt::format("g{}", ++groups);
  scene.add_group(stream, group);
  scene.session().execute("CHECKPOINT");
  return scene.consume(stream, group, by, kWorkers);
}

}  // namespace

std::vector<Measurement> bench_stream_consume(StreamScene& scene) {
  scene.session().execute_script("CREATE TABLE IF NOT EXISTS bench_sums (events bigint, keys bigint)");
  scene.make("events");
  scene.add("events", kEvents);
  scene.cut("events");
  scene.make("small");
  scene.add("small", kEvents, 8);
  scene.cut("small");
  scene.session().execute("VACUUM ANALYZE events, small");
  std::vector<double> leased, sql, small;
  const Pair rate = in_turn(
      kStreamRounds,
      [&] {
        leased.push_back(consume_all(scene, StreamScene::By::leased));
        sql.push_back(consume_all(scene, StreamScene::By::sql));
        small.push_back(consume_all(scene, StreamScene::By::transactional, "small"));
        return consume_all(scene, StreamScene::By::transactional);
      },
      [&] {
        make_rows(scene);
        return kBatch * scene.plain().pgbench("rows", take_rows(), kWorkers,
                                              kRows / kBatch / static_cast<int>(kWorkers));
      });
  const auto median = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  };
  const std::string against =
      fmt::format("SKIP LOCKED, a row per event, batches of 10,000 ({:.0f}/s)", rate.theirs);
  return {{.name = "consume, 4 workers, trivial C++ handler, exactly once (target 1,000,000/s)",
           .value = rate.ours,
           .unit = "events/s",
           .ratio = rate.ours / rate.theirs,
           .target = 4,
           .against = against},
          {.name = "the same, events of 60 bytes",
           .value = median(small),
           .unit = "events/s",
           .ratio = median(small) / rate.ours,
           .against = "events of 300 bytes"},
          {.name = "the same, leased",
           .value = median(leased),
           .unit = "events/s",
           .ratio = median(leased) / rate.theirs,
           .against = against},
          {.name = "the same, set-based SQL",
           .value = median(sql),
           .unit = "events/s",
           .ratio = median(sql) / rate.theirs,
           .against = against}};
}

/// New events in small transactions, among more and more that are kept.
std::vector<Measurement> bench_stream_flat(StreamScene& scene, std::int64_t most) {
  scene.session().execute_script("CREATE TABLE IF NOT EXISTS bench_sums (events bigint, keys bigint)");
  scene.make("events");
  constexpr std::int64_t kFew = 1'000'000;
  constexpr std::int64_t kNew = 500'000;
  const auto one = [&] {
    std::vector<double> rates;
    for (int i = 0; i < kStreamRounds; ++i) {
      scene.cut("events");
      static int groups = 0;
      const std::string group = fmt::format("flat{}", ++groups);
      scene.session().execute("DELETE FROM weir.stream_group");
      scene.add_group("events", group);
      scene.session().execute("DELETE FROM weir.stream_work");
      scene.add("events", kNew);
      scene.session().execute("CHECKPOINT");
      rates.push_back(scene.consume("events", group, StreamScene::By::transactional, kWorkers));
    }
    std::sort(rates.begin(), rates.end());
    return rates[rates.size() / 2];
  };
  scene.add("events", kFew);
  const double few = one();
  scene.add("events", most - kFew);
  scene.session().execute("VACUUM ANALYZE events");
  const double many = one();
  return {{.name = fmt::format("cut and consume {} new events among {} million kept ones", kNew,
                               most / 1'000'000),
           .value = many,
           .unit = "events/s",
           .ratio = many / few,
           .target = 0.9,
           .against = "among 1 million"}};
}

/// An old snapshot keeps the rows of all chunks that were done since.
Measurement bench_stream_held(StreamScene& scene) {
  constexpr int kLooks = 6;
  scene.make("events");
  scene.add_group("events", "held");
  const auto round = [&] {
    scene.add("events", kEvents / 4);
    scene.cut("events");
    return scene.consume("events", "held", StreamScene::By::transactional, kWorkers);
  };
  std::vector<double> before{round(), round(), round()};
  std::sort(before.begin(), before.end());
  pg::Session holder = scene.plain().session();
  pg::Transaction snapshot(holder, {.isolation = pg::Isolation::repeatable_read});
  holder.execute("SELECT count(*) FROM weir.stream");
  std::vector<double> held;
  for (int i = 0; i < kLooks; ++i) held.push_back(round());
  std::sort(held.end() - 3, held.end());
  const double last = held[held.size() - 2];
  return {.name = fmt::format("consume while a snapshot is held open, after {} events", kLooks * kEvents / 4),
          .value = last,
          .unit = "events/s",
          .ratio = last / before[1],
          .target = 0.85,
          .against = "the same before"};
}

}  // namespace weir::bench
