#include "load_tables_bench.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <thread>

#include <fmt/format.h>

#include "load/demo/dashboards.h"
#include "load/demo/replacing.h"
#include "load/load.h"
#include "load/read/csv_reader.h"
#include "pg/copy.h"
#include "schema/migrator.h"

namespace weir::bench {
namespace {

constexpr int kRounds = 3;
constexpr std::int64_t kAppended = 5'000'000;
constexpr int kRefreshed = 1'000'000;

std::shared_ptr<const pg::Connector> connector_of(const Scene& scene) {
  return std::make_shared<const pg::Connector>(scene.connector());
}

void migrate(const Scene& scene) {
  pg::Session session = scene.session();
  schema::migrate(session);
}

struct Cost {
  double seconds = 0;
  double megabytes = 0;  ///< of WAL
};

/// The medians of rounds that each begin with the table anew, in generation 0.
Cost cost_of(load::demo::Scenery& scenery, load::demo::Replacing& replacing, std::int64_t generation) {
  std::vector<double> seconds;
  std::vector<double> megabytes;
  for (int round = 0; round < kRounds; ++round) {
    scenery.fill();
    scenery.connect().execute("CHECKPOINT");
    seconds.push_back(seconds_of(
        [&] { megabytes.push_back(static_cast<double>(replacing.replace(generation).wal_bytes) / 1e6); }));
  }
  std::sort(seconds.begin(), seconds.end());
  std::sort(megabytes.begin(), megabytes.end());
  return {seconds[kRounds / 2], megabytes[kRounds / 2]};
}

}  // namespace

Measurement bench_load_append(Scene& scene) {
  migrate(scene);
  pg::Session session = scene.session();
  session.execute(
      "CREATE TABLE bench_append (id int8 NOT NULL, at timestamptz, pair text, rate numeric(14, 5), spread "
      "float8, "
      "desk text, live boolean, batch int4)");
  const std::filesystem::path path = scene.folder() / "append.csv";
  {
    std::ofstream output(path, std::ios::binary);
    pg::CopyOut copy(
        session,
        fmt::format(
            "COPY (SELECT n::int8 AS id, timestamptz '2026-01-01Z' + n * interval '1 s' AS at, "
            "'EUR/' || chr(65 + n % 26) || 'SD' AS pair, (n % 300000)::numeric(14, 5) / 100000 AS rate, "
            "CASE WHEN n % 5 > 0 THEN n % 977 * 0.25::float8 END AS spread, 'desk, ' || n % 1000 AS desk, "
            "n % 2 = 0 AS live, n % 977 AS batch FROM generate_series(1, {}) n) TO STDOUT "
            "(FORMAT csv, HEADER)",
            kAppended));
    while (const auto piece = copy.next())
      output.write(piece->data(), static_cast<std::streamsize>(piece->size()));
  }
  const auto rate_of = [&](const std::function<void()>& work) {
    session.execute("TRUNCATE bench_append");
    session.execute("CHECKPOINT");
    return static_cast<double>(kAppended) / seconds_of(work);
  };
  const Pair rate = in_turn(
      kRounds,
      [&] {
        return rate_of([&] {
          load::LoadOptions options;
          options.source = "append.csv";
          options.target = "bench_append";
          options.spec.mode = load::Mode::append;
          load::Load load(connector_of(scene),
                          std::make_unique<load::CsvReader>(load::file_inputs(path.string()),
                                                            load::CsvChoice(), std::stop_token()),
                          options);
          const load::LoadReport report = load.run({});
          if (report.records != static_cast<std::uint64_t>(kAppended))
            throw Error(ExitCode::failed, fmt::format("{} records were loaded", report.records));
        });
      },
      [&] {
        const std::string command = "\\copy bench_append from '" + path.string() + "' (format csv, header)";
        return rate_of([&] { (void)scene.run_tool({"psql", "-X", "-q", "-c", command, scene.url()}); });
      });
  return {.name = "append of CSV, 5M rows of 8 columns",
          .value = rate.ours,
          .unit = "rows/s",
          .ratio = rate.ours / rate.theirs,
          .target = 0.9,
          .against = "psql \\copy"};
}

std::vector<Measurement> bench_load_refresh(Scene& scene) {
  migrate(scene);
  load::demo::Scenery scenery(connector_of(scene), kRefreshed, {});
  scenery.fill();
  const Cost deleted = cost_of(scenery, *load::demo::by_delete(scenery), 1);
  const Cost truncated = cost_of(scenery, *load::demo::by_truncate(scenery), 1);
  std::vector<Measurement> results;
  const auto add = [&](const std::string& name, const Cost& cost, std::optional<double> target) {
    results.push_back({.name = name + ", time",
                       .value = cost.seconds,
                       .unit = "s",
                       .ratio = cost.seconds / deleted.seconds,
                       .higher_is_better = false,
                       .against = "DELETE + INSERT within the server"});
    results.push_back({.name = name + ", WAL",
                       .value = cost.megabytes,
                       .unit = "MB",
                       .ratio = cost.megabytes / deleted.megabytes,
                       .target = target,
                       .higher_is_better = false,
                       .against = "DELETE + INSERT"});
  };
  add("TRUNCATE + INSERT of 1M rows", truncated, {});
  const auto refresh = load::demo::by_refresh(scenery);
  for (const int percent : {0, 1, 5, 50}) {
    const std::optional<double> target = percent == 1 ? std::optional(0.30) : std::nullopt;
    add(fmt::format("refresh of 1M rows, {} % changed", percent), cost_of(scenery, *refresh, percent),
        target);
  }
  return results;
}

Measurement bench_load_readers(Scene& scene) {
  migrate(scene);
  load::demo::Scenery scenery(connector_of(scene), kRefreshed, {});
  scenery.fill();
  const auto refresh = load::demo::by_refresh(scenery);
  std::int64_t generation = 0;
  const auto p99 = [&](const std::function<void()>& work) {
    load::demo::Dashboards dashboards(scenery, {.count = 8});
    const Deadline end = Deadline::after(std::chrono::seconds(15));
    while (!end.expired()) work();
    dashboards.close();
    const load::demo::ReadFigures figures = dashboards.look();
    if (figures.waited + figures.empty + figures.mixed > 0)
      throw Error(ExitCode::failed, "a reader waited for a lock, or saw half a table");
    return std::chrono::duration<double, std::milli>(figures.p99).count();
  };
  const Pair milliseconds = in_turn(
      kRounds, [&] { return p99([&] { refresh->replace(++generation); }); },
      [&] { return p99([] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }); });
  return {.name = "p99 of 8 readers while 1M rows are refreshed",
          .value = milliseconds.ours,
          .unit = "ms",
          .ratio = milliseconds.ours / milliseconds.theirs,
          .target = 2,
          .higher_is_better = false,
          .against = "the same readers, nobody writing"};
}

}  // namespace weir::bench
