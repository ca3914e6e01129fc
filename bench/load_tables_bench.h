#pragma once

#include <vector>

#include "report.h"
#include "scene.h"

namespace weir::bench {

/// A CSV file into a logged table, beside psql.
Measurement bench_load_append(Scene& scene);
/// Time and WAL of a refresh with 0, 1, 5 and 50 % of the rows changed, beside the two usual ways.
std::vector<Measurement> bench_load_refresh(Scene& scene);
/// What readers feel of a refresh.
Measurement bench_load_readers(Scene& scene);

}  // namespace weir::bench
