#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "load/write/target.h"

namespace weir::pg {
class Session;
}

namespace weir::load {

struct CareReport {
  bool vacuumed = false;
  bool analyzed = false;
  std::string skipped{};              ///< why it was not vacuumed, with the holder of an old snapshot
  std::vector<std::string> advice{};  ///< "REINDEX INDEX CONCURRENTLY .."
};

/// After the commit: VACUUM (TRUNCATE off) and ANALYZE when more than a tenth of the rows is dead. Never
/// fails a load: what the server refuses is in the report. `target` is as it was before the load. Outside of
/// a transaction.
CareReport take_care(pg::Session& session, const Target& target, std::int64_t dead_rows);

}  // namespace weir::load
