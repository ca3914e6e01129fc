#pragma once

#include <vector>

#include "load/matching.h"
#include "load/value/column_type.h"

namespace weir::pg {
class Session;
}

namespace weir::load {

/// What the server makes of the types that were said. Throws (definition) with the name of the column whose
/// type it does not know.
std::vector<ColumnType> resolve_types(pg::Session& session, const std::vector<SaidColumn>& columns);

}  // namespace weir::load
