#include "pg/make_if_missing.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "pg/error.h"

namespace weir::pg {
namespace {

/// unique_violation (of a catalog's index), duplicate_schema, duplicate_table, duplicate_object (its type).
constexpr std::array<std::string_view, 4> kMadeMeanwhile{"23505", "42P06", "42P07", "42710"};

}  // namespace

void make_if_missing(Session& session, const std::string& statement) {
  try {
    session.execute_script(statement);
  } catch (const Error& error) {
    if (std::ranges::find(kMadeMeanwhile, error.sqlstate()) == kMadeMeanwhile.end()) throw;
    session.execute_script(statement);  // the other has committed: now it is seen
  }
}

}  // namespace weir::pg
