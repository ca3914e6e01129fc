#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <thread>

#include <fmt/format.h>

#include "pg/copy.h"
#include "pg/copy_format.h"
#include "pg/pipeline.h"
#include "suites.h"

namespace weir::bench {
namespace {

using pg::Oid;

constexpr int kRounds = 5;
constexpr int kRoundTrips = 20000;
constexpr int kInserts = 100000;
constexpr int kGroup = 100;  // inserts in one transaction
constexpr std::int64_t kRows = 1500000;

constexpr pg::Query kSelectOne{"bench_one", "SELECT 1", {}, {}};
constexpr std::array<Oid, 2> kInsertTypes{pg::oid::kInt8, pg::oid::kText};
constexpr pg::Query kInsert{"bench_insert", "INSERT INTO bench_insert VALUES ($1, $2)", kInsertTypes, {}};

/// "tps = 12345.6 (without initial connection time)".
double transactions_per_second(const std::string& output) {
  const std::size_t at = output.find("tps = ");
  if (at == std::string::npos) throw Error(ExitCode::failed, "pgbench said something else: " + output);
  return std::stod(output.substr(at + 6));
}

std::filesystem::path write_script(const Scene& scene, const std::string& name, const std::string& text) {
  const std::filesystem::path path = scene.folder() / name;
  std::ofstream(path) << text;
  return path;
}

std::string pgbench(const Scene& scene, const std::filesystem::path& script, int transactions) {
  return scene.run_tool({"pgbench", "-n", "-M", "prepared", "-c", "1", "-j", "1", "-t",
                         std::to_string(transactions), "-f", script.string(), scene.url()});
}

Measurement round_trip(Scene& scene) {
  const auto script = write_script(scene, "one.sql", "SELECT 1;\n");
  pg::Session session = scene.session();
  pg::Params none;
  const Pair micros = in_turn(
      kRounds,
      [&] {
        return 1e6 / kRoundTrips * seconds_of([&] {
                 for (int i = 0; i < kRoundTrips; ++i) session.run(kSelectOne, none);
               });
      },
      [&] { return 1e6 / transactions_per_second(pgbench(scene, script, kRoundTrips)); });
  return {.name = "round trip of a prepared SELECT 1",
          .value = micros.ours,
          .unit = "µs",
          .ratio = micros.ours / micros.theirs,
          .target = 1.1,
          .higher_is_better = false,
          .against = "pgbench -M prepared"};
}

Measurement pipelined_inserts(Scene& scene) {
  std::string statements = "\\startpipeline\n";
  for (int i = 0; i < kGroup; ++i) statements += "INSERT INTO bench_insert VALUES (:client_id, 'payload');\n";
  const auto script = write_script(scene, "insert.sql", statements + "\\endpipeline\n");
  pg::Session session = scene.session();
  session.execute("CREATE TABLE bench_insert (id int8, payload text)");
  const auto emptied = [&] { session.execute("TRUNCATE bench_insert"); };
  const Pair rate = in_turn(
      kRounds,
      [&] {
        emptied();
        return kInserts / seconds_of([&] {
                 pg::Pipeline pipeline(session, {&kInsert});
                 pg::Params params;
                 for (int i = 0; i < kInserts; ++i) {
                   params.clear();
                   params.add(std::int64_t{i}).add(std::string_view("payload"));
                   pipeline.run(kInsert, params);
                   if (i % kGroup == kGroup - 1) pipeline.end_group();
                 }
                 pipeline.finish();
               });
      },
      [&] {
        emptied();
        return kGroup * transactions_per_second(pgbench(scene, script, kInserts / kGroup));
      });
  return {.name = "single-row inserts in a pipeline, 100 to a transaction",
          .value = rate.ours,
          .unit = "rows/s",
          .ratio = rate.ours / rate.theirs,
          .against = "pgbench \\startpipeline"};
}

struct CopyFile {
  std::filesystem::path path;
  std::string format;
};

/// `load` beside psql, which sends `file`: each empties the table first and opens its own connection.
Measurement copy_beside_psql(Scene& scene, const std::string& name, const CopyFile& file,
                             const std::function<void(pg::CopyIn&)>& load) {
  const std::string format = " (format " + file.format + ")";
  pg::Session session = scene.session();
  const auto rate_of = [&](const std::function<void()>& work) {
    session.execute("TRUNCATE bench_copy");
    session.execute("CHECKPOINT");
    return static_cast<double>(kRows) / seconds_of(work);
  };
  const Pair rate = in_turn(
      kRounds,
      [&] {
        return rate_of([&] {
          pg::Session loader = scene.session();
          pg::CopyIn copy(loader, "COPY bench_copy FROM STDIN" + format);
          load(copy);
          copy.finish();
        });
      },
      [&] {
        const std::string command = "\\copy bench_copy from '" + file.path.string() + "'" + format;
        return rate_of([&] { (void)scene.run_tool({"psql", "-X", "-q", "-c", command, scene.url()}); });
      });
  return {.name = name, .value = rate.ours, .unit = "rows/s", .ratio = rate.ours / rate.theirs};
}

/// Both sides read the same file.
Measurement copy_file(Scene& scene, const CopyFile& file) {
  Measurement result =
      copy_beside_psql(scene, "COPY of a " + file.format + " file", file, [&](pg::CopyIn& copy) {
        std::ifstream input(file.path, std::ios::binary);
        std::string buffer(std::size_t{64} * 1024, '\0');
        while (input.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || input.gcount() > 0)
          copy.write({buffer.data(), static_cast<std::size_t>(input.gcount())});
      });
  result.target = 0.95;
  result.against = "psql \\copy";
  return result;
}

/// What a load does: C++ values, encoded and sent; beside psql, which only sends a file that was encoded
/// before.
Measurement copy_encoded(Scene& scene, const CopyFile& file) {
  Measurement result =
      copy_beside_psql(scene, "COPY of values, encoded on the way", file, [](pg::CopyIn& copy) {
        pg::CopyBinary rows(3);
        for (std::int64_t n = 0; n < kRows; ++n) {
          rows.begin_row();
          rows.add(n);
          rows.add(static_cast<double>(n) * 0.5);
          rows.add(std::string_view("a payload of thirty characters"));
          if (rows.bytes().size() < std::size_t{64} * 1024) continue;
          copy.write(rows.bytes());
          rows.clear();
        }
        rows.finish();
        copy.write(rows.bytes());
      });
  result.against = "psql \\copy of a binary file";
  return result;
}

/// From the request to stop until the call has come back, while the server does not answer: the worst of
/// many.
Measurement stop_latency(Scene& scene) {
  constexpr int kStops = 50;
  double worst = 0;
  for (int i = 0; i < kStops; ++i) {
    pg::Session session = scene.session();
    std::stop_source stop;
    session.set_stop(stop.get_token());
    std::chrono::steady_clock::time_point requested;
    std::jthread stopper([&] {
      pg::Session look = scene.session();
      while (!look.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active')",
                           session.backend_pid())[0]
                  .get<bool>(0)) {
      }
      requested = std::chrono::steady_clock::now();
      stop.request_stop();
    });
    try {
      session.execute("SELECT pg_sleep(600)");
    } catch (const pg::Cancelled&) {
      const auto back = std::chrono::steady_clock::now();
      stopper.join();
      worst = std::max(worst, std::chrono::duration<double, std::milli>(back - requested).count());
    }
  }
  return {.name = "stop during a wait, the slowest of 50",
          .value = worst,
          .unit = "ms",
          .target = 100,
          .higher_is_better = false};
}

}  // namespace

std::vector<Measurement> bench_pg(Scene& scene) {
  pg::Session session = scene.session();
  session.execute("CREATE TABLE bench_copy (id int8, amount float8, payload text)");
  session.execute(
      "CREATE VIEW bench_rows AS SELECT n::int8 AS id, n * 0.5::float8 AS amount, 'a payload of thirty "
      "characters' "
      "AS payload "
      "FROM generate_series(0, " +
      std::to_string(kRows - 1) + ") n");
  const CopyFile text{scene.folder() / "rows.txt", "text"};
  const CopyFile binary{scene.folder() / "rows.bin", "binary"};
  for (const CopyFile& file : {text, binary}) {
    std::ofstream output(file.path, std::ios::binary);
    pg::CopyOut copy(session, "COPY (TABLE bench_rows) TO STDOUT (FORMAT " + file.format + ")");
    while (const auto piece = copy.next())
      output.write(piece->data(), static_cast<std::streamsize>(piece->size()));
  }
  std::vector<Measurement> results;
  results.push_back(round_trip(scene));
  results.push_back(stop_latency(scene));
  results.push_back(pipelined_inserts(scene));
  results.push_back(copy_file(scene, text));
  results.push_back(copy_file(scene, binary));
  results.push_back(copy_encoded(scene, binary));
  return results;
}

}  // namespace weir::bench
