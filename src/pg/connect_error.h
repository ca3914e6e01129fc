#pragma once

#include <string_view>

#include "pg/conninfo.h"
#include "pg/error.h"

namespace weir::pg {

/// Turns libpq's report of a failed connection attempt (verbose, one line or two for each host it tried) into
/// one paragraph for a person: what failed where, and what to do. Pure.
ErrorInfo explain_connect_failure(std::string_view report, const Conninfo& conninfo);

}  // namespace weir::pg
