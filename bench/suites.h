#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "report.h"
#include "scene.h"

namespace weir::bench {

std::vector<Measurement> bench_pg(Scene& scene);
std::vector<Measurement> bench_queue(Scene& scene);
std::vector<Measurement> bench_load(Scene& scene);
std::vector<Measurement> bench_pipeline(Scene& scene);
std::vector<Measurement> bench_stream(Scene& scene);
std::vector<Measurement> bench_group(Scene& scene);
/// Part ndjson of suite load.
std::vector<Measurement> bench_load_ndjson();

struct Suite {
  std::string_view name;
  std::string_view summary;
  std::vector<Measurement> (*run)(Scene& scene);
};

inline constexpr std::array kSuites{
    Suite{"pg", "round trip, pipelined inserts, COPY, beside pgbench and psql", &bench_pg},
    Suite{"queue", "jobs: leased, transactional, under a held snapshot; enqueue; latency; idle load",
          &bench_queue},
    Suite{"load", "parsing CSV; append beside psql; refresh and its readers", &bench_load},
    Suite{"pipeline", "chains of SQL and of processes; runs a second; idle load; a long history; acceptance",
          &bench_pipeline},
    Suite{"stream", "events: produce beside a bare table, consume beside a row per event; long streams",
          &bench_stream},
    Suite{"group",
          "ordered batches beside bare SQL; hand-over; wake-up; fairness; a killed consumer; a long history",
          &bench_group},
};

}  // namespace weir::bench
