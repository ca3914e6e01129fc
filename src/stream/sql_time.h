#pragma once

#include <string>

#include "base/clock.h"

namespace weir::stream {

/// As PostgreSQL reads a timestamptz, to the microsecond, whatever the session's settings are; without
/// quotes.
std::string sql_time(WallTime time);

}  // namespace weir::stream
