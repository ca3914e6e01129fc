#include <fstream>

#include <fmt/format.h>

#include "stream_scene.h"

namespace weir::bench {
namespace {

constexpr int kCopied = 500'000;
constexpr int kClients = 16;
constexpr int kInserts = 48'000;

/// Lines of key and payload, for \\copy.
std::filesystem::path events_file(StreamScene& scene, int bytes) {
  const std::filesystem::path path = scene.plain().folder() / fmt::format("events_{}.tsv", bytes);
  std::ofstream out(path);
  const std::string text(static_cast<std::size_t>(bytes), 'x');
  for (int i = 0; i < kCopied; ++i)
    out << fmt::format("k{}\t{{\"n\": {}, \"text\": \"{}\"}}\n", i % 1000, i, text);
  return path;
}

void make_bare(StreamScene& scene) {
  scene.session().execute_script(
      "DROP TABLE IF EXISTS bare; CREATE TABLE bare (at timestamptz NOT NULL DEFAULT now(), key text, "
      "payload "
      "jsonb NOT NULL) PARTITION BY RANGE (at);"
      "CREATE TABLE bare_before PARTITION OF bare FOR VALUES FROM (MINVALUE) TO ('2020-01-01');"
      "CREATE TABLE bare_now PARTITION OF bare FOR VALUES FROM ('2020-01-01') TO (MAXVALUE); CHECKPOINT");
}

Measurement copy(StreamScene& scene, int bytes, std::optional<double> target) {
  const std::string file = events_file(scene, bytes).string();
  const auto copy_into = [&](const char* table) {
    return kCopied / seconds_of([&] {
             std::string said = scene.plain().run_tool(
                 {"psql", "-X", "-q", "-c", fmt::format("\\copy {} (key, payload) from '{}'", table, file),
                  scene.plain().url()});
           });
  };
  const Pair rate = in_turn(
      kStreamRounds + 2,
      [&] {
        scene.make("events");
        return copy_into("events");
      },
      [&] {
        make_bare(scene);
        return copy_into("bare");
      });
  return {.name = fmt::format("COPY of {} events of {} bytes", kCopied, bytes + 40),
          .value = rate.ours,
          .unit = "events/s",
          .ratio = rate.ours / rate.theirs,
          .target = target,
          .against = "COPY into the table with nothing of Weir's"};
}

Measurement insert(StreamScene& scene) {
  const std::string row = "(key, payload) VALUES ('k', '{\"n\": 1, \"text\": \"some text of an event\"}');\n";
  const Pair rate = in_turn(
      kStreamRounds,
      [&] {
        scene.make("events");
        return scene.plain().pgbench("ours", "INSERT INTO events " + row, kClients, kInserts / kClients);
      },
      [&] {
        make_bare(scene);
        return scene.plain().pgbench("bare", "INSERT INTO bare " + row, kClients, kInserts / kClients);
      });
  return {.name = "single-row INSERT from 16 clients",
          .value = rate.ours,
          .unit = "events/s",
          .ratio = rate.ours / rate.theirs,
          .target = 0.85,
          .against = "INSERT into the table with nothing of Weir's"};
}

}  // namespace

std::vector<Measurement> bench_stream_produce(StreamScene& scene) {
  return {copy(scene, 260, 0.85), copy(scene, 20, std::nullopt), insert(scene)};
}

}  // namespace weir::bench
