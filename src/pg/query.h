#pragma once

#include <span>
#include <string_view>

#include "pg/oid.h"

namespace weir::pg {

/// A named statement, compiled from a .sql file (src/schema/queries). The name is the prepared statement's
/// name, and what errors name.
struct Query {
  std::string_view name;
  const char* text;
  std::span<const Oid> parameters;
  std::span<const Oid> columns;
};

}  // namespace weir::pg
