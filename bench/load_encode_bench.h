#pragma once

#include <vector>

#include "report.h"

namespace weir::bench {

/// Part "encode" of the suite "load": rows of a CSV's cells into COPY BINARY, without a server.
std::vector<Measurement> bench_load_encode();

}  // namespace weir::bench
